//! `--mean-image`: training, and what may be done with the network afterwards.

use std::fs;

use resnet::{
    config::TrainConfig,
    data::{LoadOptions, load},
    model_file::Model,
};

use crate::common::{Sandbox, small};

#[test]
fn a_mean_image_goes_from_training_to_files() {
    let s = Sandbox::new();
    let options = ["--mean-image", "--validation", "56", "--recipe", "paper", "--seed", "3"];
    let train = small(&[&options[..], &["--epochs", "1", "--out", "run"]].concat());
    let said = s.run(&train).success();
    assert!(said.stderr.contains("best: epoch 1, validation accuracy "), "{said:#?}");
    let log = fs::read_to_string(s.path("run/log.txt")).unwrap();
    assert!(log.contains("; best: epoch 1, validation accuracy "), "{log}");

    // That of the images that are trained on.
    let config = TrainConfig::read(&s.path("run/config.toml")).unwrap();
    let limits = LoadOptions { limit_train: Some(256), limit_test: Some(1), ..Default::default() };
    let mut images = load("synthetic", &limits).unwrap().train;
    images.random_split(56, 3).unwrap();
    assert_eq!(config.data.normalisation.mean_image, Some(images.mean_image()));
    let metrics = fs::read_to_string(s.path("run/metrics.jsonl")).unwrap();
    let trained: serde_json::Value = serde_json::from_str(metrics.trim_end()).unwrap();

    s.run(&["convert", "run", "net.onnx"]).success();
    for model in ["run/best.safetensors", "net.onnx"] {
        let normalisation = Model::load(&s.path(model), None).unwrap().normalisation.unwrap();
        assert_eq!(normalisation, config.data.normalisation, "{model}");
        let eval = ["eval", model, "synthetic", "--limit-test", "100", "--json"];
        assert_eq!(s.json(&eval)[0]["accuracy"], trained["test_accuracy"], "{model}");
    }
    let mean = "subtracts a mean image";
    s.run(&["eval", "run", "--image-size", "24"]).fails(2, &[mean]);
    s.run(&["eval", "run", "--limit-test", "2", "--scales", "24,32"]).fails(2, &[mean]);
    s.run(&["train", "--resume", "run"]).success();

    // A run by its configuration has the same.
    let again = small(&["--config", "run/config.toml", "--epochs", "1", "--out", "again"]);
    s.run(&again).success();
    let again = TrainConfig::read(&s.path("again/config.toml")).unwrap();
    assert_eq!(again.data.normalisation, config.data.normalisation);
    let report = s.run(&["report", "run", "--out", "report.html"]);
    report.success();
    let page = fs::read_to_string(s.path("report.html")).unwrap();
    assert!(page.contains("--mean-image") && page.contains("3072 values"));
}

#[test]
fn what_a_mean_image_excludes_is_refused() {
    let s = Sandbox::new();
    s.run(&small(&["--mean-image", "--recipe", "sprint"])).fails(2, &["mean image"]);
    // Before the speed is measured.
    let planned = small(&["--mean-image", "--recipe", "sprint", "--budget", "1h"]);
    let out = s.run(&planned).fails(2, &["mean image"]);
    assert!(!out.stderr.contains("measuring"), "{out:#?}");
    let photos = concat!(env!("CARGO_MANIFEST_DIR"), "/../resnet/tests/protocols/photos");
    s.run(&["train", photos, "--arch", "resnet8", "--mean-image"])
        .fails_behind_notes(2, &["--mean-image needs images in memory"]);
}
