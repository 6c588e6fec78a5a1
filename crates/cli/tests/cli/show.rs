//! `resnet show` on a briefly trained network.

use std::{fs, path::Path};

use crate::common::{Sandbox, write_photos};

/// A run folder `run`.
fn trained() -> Sandbox {
    let s = Sandbox::new();
    let few = ["--limit-train", "64", "--limit-test", "40", "--epochs", "1", "--batch-size", "32"];
    let net = ["train", "synthetic", "--arch", "resnet8", "--out", "run", "--quiet"];
    s.run(&[&net[..], &few].concat()).success();
    s
}

/// Columns and rows from the header of a PNG.
fn size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xaeB`\x82"));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn pictures_are_written_to_the_run_folder_and_listed() {
    let s = trained();
    let report = &s.json(&["show", "run", "--limit-test", "40", "--cam", "--json"])[0];
    let names = ["predictions", "confusion", "mistakes", "filters", "cam", "mistakes-cam"];
    for (name, file) in names.iter().zip(report["files"].as_array().unwrap()) {
        assert_eq!(file, &format!("run/pictures/{name}.png"));
        let (width, height) = size(&s.path(file.as_str().unwrap()));
        assert!(width > 500 && height > 200, "{name}: {width} x {height}");
    }
    assert_eq!(fs::read_dir(s.path("run/pictures")).unwrap().count(), names.len());

    let eval = &s.json(&["eval", "run", "--limit-test", "40", "--json"])[0];
    assert_eq!(
        (&report["accuracy"], &report["images"]),
        (&eval["accuracy"], &eval["images"]),
        "equal to eval"
    );
    let predictions = report["predictions"].as_array().unwrap();
    assert_eq!((predictions.len(), &report["shown"]), (32, &32.into()));
    let right = predictions.iter().filter(|p| p["correct"] == true).count();
    assert_eq!(report["right"], right);
    for (i, p) in predictions.iter().enumerate() {
        assert_eq!(p["image"], i);
        assert_eq!(p["correct"] == true, p["predicted"] == p["true"]);
        assert!(p.get("file").is_none());
    }
    let mistakes = report["mistakes"].as_array().unwrap();
    assert!(mistakes.iter().all(|p| p["correct"] == false && p["predicted"] != p["true"]));
    assert!(mistakes.is_sorted_by(|a, b| a["probability"].as_f64() >= b["probability"].as_f64()));
}

#[test]
fn photos_have_the_names_of_their_files() {
    let s = Sandbox::new();
    write_photos(&s, &["cat", "dog"], 10);
    // Labels that nothing can learn.
    for index in ["00", "02", "04", "06"] {
        let [cat, dog] = ["cat", "dog"].map(|class| s.path(format!("photos/{class}/{index}.ppm")));
        fs::rename(&cat, s.path("kept")).unwrap();
        fs::rename(&dog, &cat).unwrap();
        fs::rename(s.path("kept"), &dog).unwrap();
    }
    let usual = ["--arch", "resnet8", "--batch-size", "8", "--epochs", "2", "--validation", "0.4"];
    s.run(&[&["train", "photos", "--out", "run", "--quiet"][..], &usual].concat()).success();
    let report = &s.json(&["show", "run", "--cam", "--format", "svg", "--json"])[0];
    let mistakes = report["mistakes"].as_array().unwrap();
    assert!(!mistakes.is_empty(), "{report}");
    let svg = |name: &str| fs::read_to_string(s.path(format!("run/pictures/{name}.svg"))).unwrap();
    for mistake in mistakes {
        let file = mistake["file"].as_str().unwrap();
        assert!(file.starts_with(mistake["true"].as_str().unwrap()), "{mistake}");
        assert!(s.path("photos").join(file).is_file());
        for picture in ["mistakes", "mistakes-cam"] {
            assert!(svg(picture).contains(&format!("; {file}</title>")), "{file} in {picture}");
        }
    }
    let text = s.run(&["show", "run"]).success().stdout;
    let worst = mistakes[0]["file"].as_str().unwrap();
    let (_, list) = text.split_once("most confident mistakes\n").unwrap();
    assert!(list.lines().nth(1).unwrap().starts_with(worst), "{text}");
    s.run(&["report", "run", "--out", "page.html"]).success();
    let page = fs::read_to_string(s.path("page.html")).unwrap();
    for part in [&format!("; {worst}</title>"), "Precision", "F1", "Most confident mistakes"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("Left out to keep this page small"));
}

#[test]
fn the_text_output_matches() {
    let s = trained();
    let few = ["show", "run", "--limit-test", "5", "--out", "some/where", "--format", "both"];
    let text = s.run(&few).success().stdout;
    assert_eq!(text.lines().filter(|line| line.contains(['✓', '✗'])).count(), 5);
    assert!(text.contains(" of 5 correct; accuracy on all 5 test images: "), "{text}");
    for name in ["predictions", "confusion", "mistakes", "filters"] {
        for suffix in ["png", "svg"] {
            assert!(text.contains(&format!("wrote some/where/{name}.{suffix}")), "{text}");
        }
        let svg = fs::read_to_string(s.path(format!("some/where/{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
    assert!(!s.path("some/where/cam.png").exists());
}

#[test]
fn a_seed_chooses_random_images_reproducibly() {
    let s = trained();
    let drawn = |seed: &str| {
        let args = ["show", "run", "--limit-test", "40", "--count", "4", "--json", "--seed", seed];
        let report = s.json(&args).remove(0);
        let images = report["predictions"].as_array().unwrap().iter();
        images.map(|p| p["image"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let first = drawn("1");
    assert_eq!((first.len(), &first), (4, &drawn("1")));
    assert_ne!(first, drawn("2"));
    assert_ne!(first, [0, 1, 2, 3]);
}

#[test]
fn errors_name_the_output_folder() {
    let s = trained();
    fs::write(s.path("file"), "").unwrap();
    let show = |more: &[&str]| s.run(&[&["show", "run", "--limit-test", "2"], more].concat());
    show(&["--out", "file"]).fails(1, &["file", "--out"]);
    show(&["--count", "0"]).fails(2, &["--count", "1 to 1000"]);
    s.run(&["show", "nothing"]).fails(1, &["nothing"]);
}
