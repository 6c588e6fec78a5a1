//! Networks of torchvision and timm in every form of file: what `resnet predict` makes of photos is
//! what PyTorch makes of them, from the files to the answer.
//!
//! `cargo test --release -p resnet-cli --test cli pytorch:: -- --ignored --test-threads 1` needs 1 GB
//! of disk and of memory, and a Python with torch, torchvision, timm, safetensors, onnxscript and
//! Pillow: `RESNET_PYTHON`, or else `python3`.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use serde::Deserialize;

use crate::common::Sandbox;

/// Largest difference of two logits of a photo, relative to the range of its logits.
const TOLERANCE: f64 = 1e-4;

/// What `pytorch.py` prints.
#[derive(Deserialize)]
struct Made {
    photos: Vec<String>,
    /// Logits of each photo, by the file of the network.
    logits: BTreeMap<String, Vec<Vec<f64>>>,
}

fn make(s: &Sandbox, library: &str, name: &str) -> Made {
    let python = env::var("RESNET_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch.py");
    let mut command = Command::new(python);
    command.arg(script).arg(s.path("")).args([library, name]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Log-probabilities of each photo, by class: its logits, but for a constant.
fn predict(s: &Sandbox, file: &str, photos: &[String]) -> Vec<Vec<f64>> {
    let mut args = vec!["predict", file, "--json", "--top", "1000"];
    args.extend(photos.iter().map(String::as_str));
    let rows = s.json(&args);
    let by_class = |row: &serde_json::Value| {
        let mut logits = vec![f64::NAN; 1000];
        for candidate in row["top"].as_array().unwrap() {
            let index = candidate["index"].as_u64().unwrap() as usize;
            logits[index] = candidate["probability"].as_f64().unwrap().ln();
        }
        logits
    };
    rows.iter().map(by_class).collect()
}

/// Largest difference of the logits, both without their means, relative to their range.
fn distance(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().chain(want).all(|value| value.is_finite()));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let constant = mean(got) - mean(want);
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
    let range = largest(&mut want.iter().copied()) + largest(&mut want.iter().map(|value| -value));
    largest(&mut got.iter().zip(want).map(|(a, b)| (a - constant - b).abs())) / range
}

/// `files` is the number of forms that the network comes in.
fn check(library: &str, name: &str, files: usize) {
    let s = Sandbox::new();
    let Made { photos, logits } = make(&s, library, name);
    assert_eq!((photos.len(), logits.len()), (6, files));
    let mut worst: f64 = 0.0;
    for (file, want) in &logits {
        let got = predict(&s, file, &photos);
        assert_eq!(got.len(), photos.len(), "{file}");
        for ((photo, got), want) in photos.iter().zip(&got).zip(want) {
            let distance = distance(got, want);
            println!("{library} {name} {file} {photo}: {distance:.1e}");
            worst = worst.max(distance);
        }
    }
    assert!(worst < TOLERANCE, "{worst:.1e}");
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn torchvision_resnet18() {
    check("torchvision", "resnet18", 6);
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn torchvision_resnet34() {
    check("torchvision", "resnet34", 6);
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn torchvision_resnet50() {
    check("torchvision", "resnet50", 6);
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs timm"]
fn timm_resnet18() {
    check("timm", "resnet18", 7);
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs timm"]
fn timm_resnet50() {
    check("timm", "resnet50", 7);
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision and timm"]
fn the_rest_of_torchvision() {
    for name in [
        "resnet101",
        "resnet152",
        "wide_resnet50_2",
        "wide_resnet101_2",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
    ] {
        check("torchvision", name, 6);
    }
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision and timm"]
fn variants_of_timm() {
    for name in ["resnet26", "resnet26d", "resnet50d", "wide_resnet50_2", "resnext50_32x4d"] {
        check("timm", name, 7);
    }
}
