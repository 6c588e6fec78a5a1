//! Options of fine-tuning.

use std::fs;

use crate::common::Sandbox;

const SMALL: [&str; 8] =
    ["train", "synthetic", "--arch", "resnet8", "--limit-train", "60", "--limit-test", "30"];

#[test]
fn a_model_is_tuned_layer_by_layer_and_resumed() {
    let s = Sandbox::new();
    let train = |more: &[&str]| s.run(&[&SMALL[..], more].concat());
    train(&["--epochs", "1", "--out", "start"]).success();
    let options = [
        "--init",
        "start",
        "--epochs",
        "3",
        "--freeze-epochs",
        "1",
        "--layer-decay",
        "0.7",
        "--optimizer",
        "adamw",
        "--clip-grad",
        "1",
        "--class-weights",
        "balanced",
        "--sampling",
        "balanced",
        "--metric",
        "f1",
        "--patience",
        "9",
        "--validation",
        "20",
        "--out",
        "run",
    ];
    train(&options).success();
    let config = fs::read_to_string(s.path("run/config.toml")).unwrap();
    for line in [
        "[recipe.adamw]\n",
        "class_weights = \"balanced\"\n",
        "sampling = \"balanced\"\n",
        "metric = \"f1\"\n",
        "patience = 9\n",
        "layer_decay = 0.7\n",
        "clip_grad = 1.0\n",
        "until = 0.333",
        "eval = true\n",
    ] {
        assert!(config.contains(line), "{line} is not in\n{config}");
    }
    let metrics = fs::read_to_string(s.path("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"chosen_by\":{\"metric\":\"f1\",\"value\":").count(), 3);
    // Another epoch, and a new run with the same settings.
    s.run(&["train", "--resume", "run", "--epochs", "4"]).success();
    let metrics = fs::read_to_string(s.path("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 4);
    let again = ["--config", "run", "--optimizer", "sgd", "--epochs", "1", "--out", "again"];
    s.run(&[&["train"][..], &again].concat()).success();
    assert!(fs::read_to_string(s.path("again/config.toml")).unwrap().contains("[recipe.sgd]\n"));
}

#[test]
fn impossible_options_are_named() {
    let s = Sandbox::new();
    for (options, code, complaint) in [
        (
            &["--freeze", "layer9"][..],
            1,
            "no layer 'layer9', but conv1, bn1, layer1, layer2, layer3, linear",
        ),
        (&["--freeze", "backbone,linear"], 1, "leaves no layer to train"),
        (&["--epochs", "2", "--freeze-epochs", "2"], 2, "--freeze-epochs 2 leaves no epoch"),
        (&["--optimizer", "adamw", "--momentum", "0.5"], 2, "--momentum is for SGD"),
        (&["--optimizer", "adam"], 2, "invalid value 'adam'"),
        (&["--class-weights", "gone.csv"], 1, "gone.csv"),
        (&["--layer-decay", "1.5"], 2, "above 0 and up to 1"),
        (&["--clip-grad", "0"], 2, "above 0"),
        (&["--patience", "0"], 2, "1 to 1000000000"),
    ] {
        s.run(&[&SMALL[..], options].concat()).fails_behind_notes(code, &[complaint]);
    }
}
