//! `resnet eval` with ten crops, several scales and several models. The files and the expected
//! probabilities are those of `crates/resnet/tests/protocols`.

use std::fs;

use serde_json::Value;

use crate::common::Sandbox;

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
