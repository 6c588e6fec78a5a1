//! Options of fine-tuning.

use std::fs;

use serde_json::Value;

use crate::common::{Sandbox, tensors, write_photos};

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

/// A run of one epoch, `start`, and photos of two classes.
fn started() -> Sandbox {
    let s = Sandbox::new();
    s.run(&[&SMALL[..], &["--epochs", "1", "--out", "start"]].concat()).success();
    write_photos(&s, &["cat", "dog"], 12);
    s
}

#[test]
fn the_weights_of_another_training_are_tuned() {
    let s = started();
    let photos = ["train", "photos", "--init", "start", "--epochs", "2"];
    let out = s.run(&[&photos[..], &["--out", "run"]].concat()).success();
    for text in [
        "note: the head (linear) has 10 classes in",
        "recipe  finetune, batch 16, 2 epochs",
        "images of 2 classes are trained on for 2 epochs in batches of 16",
        "The classifier trains alone for 1 epoch, then all layers do",
    ] {
        assert!(out.stderr.contains(text), "{text} is not in {out:#?}");
        let log = fs::read_to_string(s.path("run/log.txt")).unwrap();
        assert!(log.contains(text) || text.starts_with("recipe"), "{log}");
    }
    let config = fs::read_to_string(s.path("run/config.toml")).unwrap();
    for line in [
        "arch = \"resnet8\"\n",
        "name = \"finetune\"\n",
        "layer_decay = 0.7\n",
        "lr = 0.0014\n",
        "[recipe.adamw]\n",
        "until = 0.5\n",
        "scale = [0.35, 1.0]\n",
    ] {
        assert!(config.contains(line), "{line} is not in\n{config}");
    }
    // It is said once.
    let out = s.run(&["train", "--resume", "run", "--epochs", "3"]).success();
    assert!(!out.stderr.contains("finetune:"), "{out:#?}");
    let fast = ["--init", "start", "--recipe", "fast", "--epochs", "1", "--out", "fast"];
    let out = s.run(&[&["train", "photos"][..], &fast].concat()).success();
    assert!(!out.stderr.contains("finetune"), "{out:#?}");
    let config = fs::read_to_string(s.path("fast/config.toml")).unwrap();
    assert!(config.contains("name = \"fast\"\n") && !config.contains("recipe.freeze"), "{config}");
}

/// As many classes are not the same ones.
#[test]
fn a_head_for_other_classes_starts_anew() {
    let s = Sandbox::new();
    write_photos(&s, &["cat", "dog"], 5);
    let train = |init: &str, out: &str| {
        let options = ["--image-size", "32", "--epochs", "1", "--arch", "resnet8", "--init", init];
        s.run(&[&["train", "photos", "--out", out][..], &options].concat()).success()
    };
    train("none", "start");
    assert!(!train("start", "same").stderr.contains("the head"));
    for class in ["cat", "dog"] {
        fs::rename(s.path("photos").join(class), s.path("photos").join(format!("a {class}")))
            .unwrap();
    }
    let out = train("start", "other");
    let note = "the head (linear) is for other classes in";
    assert!(out.stderr.contains(note), "{out:#?}");
}

/// What a frozen backbone computes is kept, for the same weights as if it were not. A photo is damaged.
#[test]
fn a_frozen_backbone_sees_each_photo_once() {
    let s = started();
    fs::write(s.path("photos/cat/03.ppm"), "P6 40 36 255\nshort").unwrap();
    let options = ["--init", "start", "--freeze", "backbone", "--augment", "none", "--epochs", "3"];
    let more = ["--dtype", "fp32", "--validation", "6", "--out", "kept"];
    let out = s.run(&[&["train", "photos"][..], &options, &more].concat()).success();
    assert!(out.stderr.contains("is computed once, for 24 images"), "{out:#?}");
    assert!(out.stderr.contains("03.ppm") && out.stderr.contains("it is left out"), "{out:#?}");
    let config = fs::read_to_string(s.path("kept/config.toml")).unwrap();
    // To the end, which is not said of the whole run.
    let same = config.replace("eval = true", "until = 1.0\neval = true");
    assert_ne!(same, config);
    fs::write(s.path("same.toml"), same).unwrap();
    let out = s.run(&["train", "--config", "same.toml", "--out", "computed"]).success();
    assert!(!out.stderr.contains("computed once"), "{out:#?}");
    assert_eq!(tensors(&s.path("kept")), tensors(&s.path("computed")));
    let accuracies = |run: &str| {
        let text = fs::read_to_string(s.path(run).join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.map(|m: Value| [m["train_loss"].clone(), m["validation_loss"].clone()]).collect()
    };
    let (kept, computed): (Vec<_>, Vec<_>) = (accuracies("kept"), accuracies("computed"));
    assert_eq!(kept, computed);
    // As many epochs more give the same however they come.
    s.run(&["train", "--resume", "kept", "--epochs", "4"]).success();
    s.run(&["train", "--resume", "computed", "--epochs", "4"]).success();
    assert_eq!(tensors(&s.path("kept")), tensors(&s.path("computed")));
}

#[test]
fn impossible_options_are_named() {
    let s = Sandbox::new();
    for (options, code, complaint) in [
        (
            &["--freeze", "layer9"][..],
            2,
            "no layer 'layer9', but conv1, bn1, layer1, layer2, layer3, linear",
        ),
        (&["--freeze", "backbone,linear"], 2, "leaves no layer to train"),
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
