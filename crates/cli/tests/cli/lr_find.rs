//! `resnet lr-find`.

use std::fs;

use serde_json::Value;

use crate::common::{Sandbox, write_photos};

const USUAL: [&str; 9] = [
    "lr-find",
    "synthetic",
    "--arch",
    "resnet8",
    "--limit-train",
    "64",
    "--batch-size",
    "16",
    "--quiet",
];

fn numbers<'a>(curve: &'a Value, name: &'a str) -> impl Iterator<Item = f64> + 'a {
    curve["points"].as_array().unwrap().iter().map(move |point| point[name].as_f64().unwrap())
}

#[test]
fn the_curve_is_printed_and_drawn_and_no_run_begins() {
    let s = Sandbox::new();
    let args = [&USUAL[..], &["--steps", "40", "--recipe", "walkthrough"]].concat();
    let out = s.run(&args).success();
    for part in ["learning rate", "smoothed", "valley  ", "steepest  ", "wrote lr-find.png"] {
        assert!(out.stdout.contains(part), "{part}: {out:#?}");
    }
    assert!(fs::read(s.path("lr-find.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(!s.path("runs").exists());

    let json = |more: &[&str]| {
        let args = [&args[..], &["--json", "--out", "curve.svg"], more].concat();
        s.json(&args).remove(0)
    };
    let curve = json(&[]);
    assert_eq!((&curve["recipe"], &curve["batch_size"]), (&"walkthrough".into(), &16.into()));
    let rates: Vec<f64> = numbers(&curve, "learning_rate").collect();
    assert_eq!(rates[0], 1e-7);
    assert!(rates.len() > 20 && rates.windows(2).all(|two| two[1] > 1.5 * two[0]), "{rates:?}");
    // The bias-corrected average, from its definition.
    let losses: Vec<f64> = numbers(&curve, "loss").collect();
    for (n, smoothed) in numbers(&curve, "smoothed_loss").enumerate() {
        let weights = (0..=n).map(|i| 0.98f64.powi((n - i) as i32));
        let sum: f64 = weights.clone().zip(&losses).map(|(weight, loss)| weight * loss).sum();
        assert!((smoothed - sum / weights.sum::<f64>()).abs() < 1e-9);
    }
    assert!(curve["valley"].is_number() && curve["steepest"].is_number(), "{curve}");
    let svg = fs::read_to_string(s.path("curve.svg")).unwrap();
    for part in ["learning rate", "1e-5", "smoothed", "valley "] {
        assert!(svg.contains(part), "{part}");
    }
    assert_eq!(curve, json(&["--threads", "1"]));
    assert_ne!(curve, json(&["--seed", "1"]));
}

#[test]
fn it_takes_photos_and_settings_of_a_run() {
    let s = Sandbox::new();
    write_photos(&s, &["cat", "dog"], 6);
    let length = ["--arch", "resnet8", "--batch-size", "4", "--threads", "1", "--quiet"];
    let train = ["train", "photos", "--epochs", "1", "--out", "run"];
    s.run(&[&train[..], &length].concat()).success();
    let files = |name: &str| -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(s.path(name)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
        files.sort();
        files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
    };
    let before = files("run");
    let find =
        ["lr-find", "--config", "run", "--steps", "12", "--json", "--threads", "1", "--quiet"];
    let curve = &s.json(&find)[0];
    assert_eq!((&curve["arch"], &curve["batch_size"]), (&"resnet8".into(), &4.into()));
    assert_eq!(files("run"), before);
    let of_photos = ["lr-find", "photos", "--epochs", "1", "--steps", "12", "--json"];
    assert_eq!(&s.json(&[&of_photos[..], &length].concat())[0]["points"], &curve["points"]);
}

#[test]
fn what_it_tries_itself_cannot_be_given() {
    let s = Sandbox::new();
    for (more, part) in [
        (&["--lr", "0.1"][..], "leave out --lr"),
        (&["--budget", "1m"], "leave out --budget"),
        (&["--resume", "run"], "leave out --resume"),
        (&["--from", "1", "--to", "0.1"], "--from 1 is not below --to 0.1"),
        (&["--out", "curve.jpg"], "--out must end in .png or .svg"),
        (&["--steps", "0"], "a whole number from 1"),
    ] {
        s.run(&[&USUAL[..], more].concat()).fails(2, &[part]);
    }
    s.run(&[&USUAL[..], &["--freeze", "layer9"]].concat())
        .fails_behind_notes(2, &["no layer 'layer9'"]);
    assert!(!s.run(&["lr-find", "--help"]).success().stdout.contains("--resume"));
}
