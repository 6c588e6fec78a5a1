//! `resnet eval` with ten crops, several scales and several models. The files and the expected
//! probabilities are those of `crates/resnet/tests/protocols`.

use std::fs;

use resnet::model_file::{Model, SaveFormat};
use serde_json::Value;

use crate::common::{Sandbox, write_photos};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../resnet/tests/protocols");
/// Of the photos, in order.
const LABELS: [usize; 4] = [0, 0, 1, 2];

fn file(name: &str) -> String {
    format!("{FILES}/{name}")
}

/// Asserts that a result is that of PyTorch's probabilities.
#[track_caller]
fn assert_result(found: &Value, probabilities: &Value) {
    let rows: Vec<Vec<f64>> = serde_json::from_value(probabilities.clone()).unwrap();
    let largest = |row: &[f64]| row.iter().copied().fold(0.0, f64::max);
    let right = rows.iter().zip(LABELS).filter(|(row, label)| row[*label] == largest(row)).count();
    let loss: f64 = rows.iter().zip(LABELS).map(|(row, label)| -row[label].ln()).sum();
    assert_eq!(found["accuracy"], 25.0 * right as f64, "{found}");
    assert_eq!((&found["top5_accuracy"], &found["images"]), (&100.0.into(), &4.into()), "{found}");
    let off = found["loss"].as_f64().unwrap() - loss / 4.0;
    assert!(off.abs() < 1e-3, "{found} {loss}");
}

#[test]
fn results_are_pytorchs() {
    let s = Sandbox::new();
    let expected: Value =
        serde_json::from_str(&fs::read_to_string(file("expected.json")).unwrap()).unwrap();
    let [a, b, photos] = ["a.safetensors", "b.safetensors", "photos"].map(file);
    let views = ["--ten-crop", "--scales", "24,32,45", "--with", &b];
    let all = [&["eval", &a, &photos, "--json"][..], &views].concat();
    let found = &s.json(&all)[0];
    assert_result(&found["ten_crop"], &expected["ten_crop"]["a"]);
    assert_eq!(found["scales"]["sides"], expected["scales"]);
    let results = [&found["models"][0], &found["models"][1], &found["ensemble"]];
    for (name, found) in ["a", "b", "ensemble"].into_iter().zip(results) {
        assert_result(&found["single_view"], &expected["single_view"][name]);
        assert_result(&found["ten_crop"], &expected["ten_crop"][name]);
        assert_result(&found["scales"], &expected["at_scales"][name]);
    }
    let name = found["models"][1]["model"].as_str().unwrap();
    assert!(name.ends_with("b.safetensors"), "{name}");

    // What is computed in addition does not change the usual results.
    let plain = &s.json(&["eval", &a, &photos, "--json"])[0];
    assert!(plain.get("models").is_none() && plain.get("ten_crop").is_none(), "{plain}");
    for key in ["accuracy", "loss", "per_class", "confusion"] {
        assert_eq!(plain[key], found[key], "{key}");
    }
    let text = s.run(&all[..3].iter().chain(&views).copied().collect::<Vec<_>>()).success().stdout;
    for row in ["single view", "ten crops", "scales 24, 32, 45", "ensemble", "b.safetensors"] {
        assert!(text.contains(row), "{row} in {text}");
    }
}

#[test]
fn images_in_memory_need_room_for_crops() {
    let s = Sandbox::new();
    let eval = ["eval", "demo", "synthetic", "--limit-test", "5", "--json"];
    let refused = s.run(&[&eval[..], &["--ten-crop"]].concat());
    refused.fails(2, &["more than the crop of 32 pixels", "--resize 37 --crop 32"]);
    let asked = ["--ten-crop", "--resize", "36", "--crop", "32", "--scales", "32", "--tta", "none"];
    let found = &s.json(&[&eval[..], &asked].concat())[0];
    for views in ["ten_crop", "scales"] {
        assert_eq!(found[views]["images"], 5, "{found}");
    }
    // How images are resized holds for all models.
    let both = &s.json(&[&eval[..], &asked, &["--with", "demo"]].concat())[0];
    for views in ["single_view", "ten_crop", "scales"] {
        let accuracy = |model: &Value| model[views]["accuracy"].clone();
        assert_eq!(accuracy(&both["models"][1]), accuracy(&both["models"][0]), "{both}");
    }
    s.run(&[&eval[..], &["--scales", "0"]].concat()).fails(2, &["--scales"]);
    s.run(&[&eval[..], &["--with", "nothing"]].concat()).fails(1, &["nothing"]);
}

#[test]
fn an_ensemble_has_the_same_classes() {
    let s = Sandbox::new();
    let [a, photos] = ["a.safetensors", "photos"].map(file);
    s.run(&["eval", &a, &photos, "--with", "demo"])
        .fails(1, &["cannot join demo", "it has 10 classes, not 3"]);
}

/// Without a part of their own, the photos of two runs are split in two ways.
#[test]
fn photos_that_another_model_was_trained_on_are_counted() {
    let s = Sandbox::new();
    write_photos(&s, &["cat", "dog"], 10);
    for (seed, run) in [("0", "a"), ("1", "b")] {
        let options = ["--arch", "resnet8", "--batch-size", "8", "--epochs", "1", "--seed", seed];
        s.run(&[&["train", "photos", "--out", run][..], &options].concat()).success();
    }
    let names = |run: &str, part: &str| -> Vec<String> {
        let text = fs::read_to_string(s.path(run).join("photos.tsv")).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(part));
        lines.map(|line| line.split('\t').nth(2).unwrap().to_owned()).collect()
    };
    let (held_out, trained) = (names("a", "validation"), names("b", "train"));
    let shared = held_out.iter().filter(|name| trained.contains(name)).count();
    assert!(shared > 0, "{held_out:?}");

    let eval = s.run(&["eval", "a", "--with", "b", "--json"]).success();
    let said = format!(" was trained on {shared} of these {} photos", held_out.len());
    assert!(eval.stderr.contains(&said) && eval.stderr.contains("b/"), "{eval:#?}");
    let found: Value = serde_json::from_str(&eval.stdout).unwrap();
    assert!(found["models"][0].get("trained_on").is_none(), "{found}");
    assert_eq!(found["models"][1]["trained_on"], shared, "{found}");
    let same = s.run(&["eval", "a", "--with", "a/last.safetensors"]).success();
    assert!(!same.stderr.contains("was trained on"), "{same:#?}");
    // What is not known does not stop the evaluation.
    fs::remove_file(s.path("b/photos.tsv")).unwrap();
    let unknown = s.run(&["eval", "a", "--with", "b"]).success();
    let said = "was trained on these photos is not known: ";
    assert!(unknown.stderr.contains(said) && unknown.stderr.contains("photos.tsv"), "{unknown:#?}");
}

/// A whole photo that is no square has not the size of the mean image, as its crops have.
#[test]
fn what_is_finished_is_printed_though_a_protocol_fails() {
    let s = Sandbox::new();
    write_photos(&s, &["cat", "dog"], 1);
    let mut model = Model::demo();
    let normalisation = model.normalisation.as_mut().unwrap();
    normalisation.mean_image = Some(vec![0.5; 3 * 32 * 32]);
    model.save(&*s.path("mean.safetensors"), SaveFormat::Safetensors).unwrap();
    let eval = ["eval", "mean.safetensors", "photos", "--resize", "36", "--crop", "32", "--json"];
    let views = ["--ten-crop", "--scales", "32"];
    for with in [&[][..], &["--with", "demo"]] {
        let failed = s.run(&[&eval[..], &views, with].concat());
        let failed =
            failed.fails_behind_notes(1, &["cannot evaluate mean.safetensors", "mean image"]);
        let found: Value = serde_json::from_str(&failed.stdout).unwrap();
        assert_eq!(found["ten_crop"]["images"], 2, "{found}");
        assert!(found.get("scales").is_none(), "{found}");
        if !with.is_empty() {
            assert_eq!(found["ensemble"]["ten_crop"]["images"], 2, "{found}");
        }
    }
}
