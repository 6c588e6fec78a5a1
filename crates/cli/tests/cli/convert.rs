//! Model files of every format: converted, inspected, evaluated and trained on, or rejected.

use std::{fs, path::PathBuf};

use resnet::{
    Arch, Network,
    model_file::{Model, SaveFormat},
    network::Init,
};
use serde_json::Value;

use crate::common::{Sandbox, write_photos};

/// A file from the tests of crates/resnet.
fn file(name: &str) -> String {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../resnet/tests");
    tests.join(name).to_str().unwrap().to_owned()
}

fn golden(suffix: &str) -> String {
    file(&format!("golden/cifar-resnet18-w8.{suffix}"))
}

const SMALL: [&str; 8] =
    ["train", "synthetic", "--limit-train", "64", "--limit-test", "10", "--batch-size", "32"];

#[test]
fn a_network_converts_to_every_format() {
    let s = Sandbox::new();
    let mut from = golden("all.tar");
    for to in ["a.tar", "b.safetensors", "c.pt", "d.pth", "e.th", "f.onnx", "g.tar"] {
        let out = s.run(&["convert", &from, to]).success();
        assert!(out.stdout.is_empty(), "{out:#?}");
        assert!(
            out.stderr.contains(&format!("{to}: resnet18-cifar, 10 classes, from ")),
            "{out:#?}"
        );
        let summary = &s.json(&["summary", to, "--json"])[0];
        assert_eq!(summary["arch"], "resnet18-cifar");
        assert_eq!(summary["parameters"], 176_402);
        let noted = match to {
            "b.safetensors" => "note: the optimizer state is left out: convert to .tar to keep it",
            "g.tar" => "note: g.tar has no optimizer state: ",
            _ => "",
        };
        assert!(out.stderr.contains(noted), "{out:#?}");
        from = to.to_owned();
    }
    let text = s.run(&["summary", "a.tar"]).success().stdout;
    assert!(text.contains("PyTorch checkpoint, with optimizer state"), "{text}");
    s.run(&["convert", "g.tar", "folded.onnx", "--fold", "--quiet"]).success();
    let size = |name: &str| fs::metadata(s.path(name)).unwrap().len();
    assert!(size("folded.onnx") < size("f.onnx"));
    // The first and the last state dict are bit-identical.
    s.run(&["convert", "a.tar", "first.pt", "--quiet"]).success();
    s.run(&["convert", "g.tar", "last.pt", "--quiet"]).success();
    assert!(fs::read(s.path("first.pt")).unwrap() == fs::read(s.path("last.pt")).unwrap());
}

#[test]
fn conversions_keep_the_normalisation() {
    let s = Sandbox::new();
    let th = file("pretrained/resnet20-12fca82f.th");
    let images = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"];
    let out = s.run(&[&["convert", &th, "x.safetensors"], &images[..]].concat()).success();
    assert!(out.stderr.contains("inferred resnet20 from the names and shapes"), "{out:#?}");
    assert!(out.stderr.contains("plain20 (no shortcuts)"), "{out:#?}");
    for to in ["x.onnx", "x.tar"] {
        s.run(&["convert", "x.safetensors", to]).success();
    }
    let eval = |model: &str, more: &[&str]| {
        let args = ["eval", model, "synthetic", "--limit-test", "20", "--json"];
        let out = s.run(&[&args[..], more].concat()).success();
        let record: Value = serde_json::from_str(&out.stdout).unwrap();
        (record["loss"].as_f64().unwrap(), out.stderr)
    };
    let (given, stderr) = eval(&th, &images);
    assert!(!stderr.contains("normalisation"), "{stderr}");
    let (usual, stderr) = eval(&th, &[]);
    assert!(stderr.contains("does not state its normalisation"), "{stderr}");
    assert_ne!(given, usual);
    for model in ["x.safetensors", "x.onnx", "x.tar"] {
        let (loss, stderr) = eval(model, &["--logits", "logits.npy"]);
        assert_eq!((loss, stderr.as_str()), (given, ""), "{model}");
        let npy = fs::read(s.path("logits.npy")).unwrap();
        assert!(npy.len() == 128 + 20 * 10 * 4 && npy.starts_with(b"\x93NUMPY"));
    }
    // A state dict cannot store it.
    let out = s.run(&["convert", "x.safetensors", "x.pt"]).success();
    assert!(out.stderr.contains("cannot store class names and normalisation"), "{out:#?}");
}

#[test]
fn a_timm_folder_is_written() {
    let s = Sandbox::new();
    let arch: Arch = "resnet18".parse().unwrap();
    let model = Model::new(arch, Network::new(arch.graph(3), Init::He, 0));
    model.save(&s.path("net.safetensors"), SaveFormat::Safetensors).unwrap();
    s.run(&["convert", "net.safetensors", "out/"]).success();
    s.run(&["convert", "net.safetensors", "other", "--timm"]).success();
    let config = fs::read_to_string(s.path("out/config.json")).unwrap();
    assert!(config.contains("\"architecture\": \"resnet18\""), "{config}");
    assert_eq!(config, fs::read_to_string(s.path("other/config.json")).unwrap());
    assert_eq!(s.json(&["summary", "out", "--json"])[0]["classes"], 3);
    let arch: Arch = "resnet18-a".parse().unwrap();
    let model = Model::new(arch, Network::new(arch.graph(3), Init::He, 0));
    model.save(&s.path("a.safetensors"), SaveFormat::Safetensors).unwrap();
    s.run(&["convert", "a.safetensors", "a/"]).fails_behind_notes(1, &["timm has no resnet18-a"]);
    let cifar = ["convert", &golden("state_dict.pt"), "cifar/"];
    s.run(&cifar).fails_behind_notes(1, &["cannot write cifar/: timm has no resnet18-cifar"]);
}

#[test]
fn impossible_conversions_are_errors() {
    let s = Sandbox::new();
    let pt = golden("state_dict.pt");
    s.run(&["convert", &pt, "out.bin"]).fails(2, &["out.bin", ".safetensors", ".onnx"]);
    s.run(&["convert", &pt, "out"]).fails(2, &["suffix", "for a timm folder, end OUT in /"]);
    s.run(&["convert", &pt, "out.pt", "--fold"]).fails(2, &["--fold is for .onnx"]);
    s.run(&["convert", "nowhere.pt", "out.pt"]).fails(1, &["nowhere.pt cannot be read"]);
    s.run(&["convert", &pt, "no/folder/out.pt"])
        .fails_behind_notes(1, &["cannot write no/folder/out.pt"]);
    for (file, text) in
        [("run/config.toml", ""), ("run/last.safetensors", ""), ("web/config.json", "{}")]
    {
        fs::create_dir_all(s.path(file).parent().unwrap()).unwrap();
        fs::write(s.path(file), text).unwrap();
    }
    for out in ["run", "run/"] {
        s.run(&["convert", &pt, out]).fails(2, &[&format!("{out} is a run folder")]);
    }
    s.run(&["convert", &pt, "web"]).fails(2, &["web has a config.json", "end OUT in /"]);
    fs::copy(&pt, s.path("same.pt")).unwrap();
    s.run(&["convert", "same.pt", "./same.pt"]).fails(1, &["OUT is the input file ./same.pt"]);
    let wrong =
        ["missing: layer1.0.conv3.weight, ", " and ", " more", "are those of a resnet18-cifar"];
    s.run(&["convert", &pt, "out.pt", "--arch", "resnet50-cifar"]).fails(1, &wrong);
    assert!(!s.path("out.pt").exists());
}

/// The start of a file of PyTorch before 1.6: a magic number, a version, and what the machine is.
const LEGACY: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";

#[test]
fn damaged_and_malicious_files_are_rejected() {
    let s = Sandbox::new();
    let good = |suffix: &str| fs::read(golden(suffix)).unwrap();
    s.run(&["convert", &golden("state_dict.pt"), "whole.onnx"]).success();
    let onnx = fs::read(s.path("whole.onnx")).unwrap();
    for (name, whole) in [
        ("zip.pt", good("state_dict.pt")),
        ("legacy.pt", good("state_dict.legacy.pt")),
        ("all.tar", good("all.tar")),
        ("cut.onnx", onnx),
    ] {
        for part in [whole.len() / 3, whole.len() - 10] {
            fs::write(s.path(name), &whole[..part]).unwrap();
            for verb in ["eval", "summary"] {
                s.run(&[verb, name]).fails(1, &[name]);
            }
        }
    }
    let call = b"\x80\x02cposix\nsystem\nX\x0a\0\0\0touch here\x85R.";
    fs::write(s.path("evil.pt"), [LEGACY, call].concat()).unwrap();
    s.run(&["eval", "evil.pt"])
        .fails(1, &["evil.pt calls os.system (posix.system)", "nothing was run"]);
    assert!(!s.path("here").exists());
    for (name, bytes) in [("text.pt", &b"import torch"[..]), ("empty.onnx", b"")] {
        fs::write(s.path(name), bytes).unwrap();
        let read = "model files are safetensors, PyTorch or ONNX";
        s.run(&["summary", name]).fails(1, &[name, read]);
    }
    fs::create_dir(s.path("folder")).unwrap();
    for name in ["model.safetensors", "config.json"] {
        fs::write(s.path("folder").join(name), "{").unwrap();
    }
    s.run(&["summary", "folder"]).fails(1, &["config.json is not a model's configuration"]);
}

#[test]
fn every_epoch_is_saved_for_pytorch() {
    let s = Sandbox::new();
    let run = ["--arch", "resnet8", "--epochs", "2", "--save-torch", "--out", "run"];
    s.run(&[&SMALL[..], &run].concat()).success();
    let (state, all) = ("run/resnet8_synthetic_state_dict.pt", "run/resnet8_synthetic_all.tar");
    let log = fs::read_to_string(s.path("run/log.txt")).unwrap();
    for file in [state, all] {
        assert_eq!(log.matches(&format!("saved {file}\n")).count(), 2, "{log}");
    }
    let text = s.run(&["summary", all]).success().stdout;
    assert!(text.contains("PyTorch checkpoint, 2 epochs, with optimizer state"), "{text}");
    let eval = |model| s.json(&["eval", model, "synthetic", "--limit-test", "10", "--json"]);
    let loss = |model| eval(model)[0]["loss"].clone();
    assert_eq!(loss(state), loss("run"));
    assert_eq!(loss(all), loss("run"));
    // In its run folder, it is a checkpoint of a finished run.
    let before = fs::read(s.path("run/metrics.jsonl")).unwrap();
    s.run(&["train", "--resume", all]).success();
    assert_eq!(fs::read(s.path("run/metrics.jsonl")).unwrap(), before);

    // Elsewhere, it is resumed in a new run with the given settings.
    fs::rename(s.path(all), s.path("all.tar")).unwrap();
    let resume = |more: &[&str]| s.run(&[&SMALL[..], &["--resume", "all.tar"], more].concat());
    let out = resume(&["--epochs", "3", "--momentum", "0.8", "--out", "next"]).success();
    for text in [
        "arch    resnet8",
        "with its weights and momentum, after its 2 epochs",
        "the file's optimizer had momentum 0.9, weight decay 0.0005, Nesterov",
    ] {
        assert!(out.stderr.contains(text), "{text} is not in {out:#?}");
    }
    let metrics = fs::read_to_string(s.path("next/metrics.jsonl")).unwrap();
    let epochs: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((epochs.len(), &epochs[0]["epoch"], &epochs[0]["step"]), (1, &3.into(), &6.into()));
    s.run(&["train", "--resume", "next"]).success();
    resume(&["--epochs", "2", "--out", "late"])
        .fails(2, &["already has all its epochs", "--epochs"]);
    resume(&["--init", "all.tar"]).fails(2, &["cannot be used with"]);
    assert!(!s.path("late").exists());
    let lacks = ["--resume", "state.pt", "--epochs", "1", "--out", "third"];
    s.run(&["convert", "all.tar", "state.pt"]).success();
    let out = s.run(&[&SMALL[..], &lacks].concat()).success();
    for text in ["momentum starts at 0, since it holds no optimizer", "does not state its epochs"] {
        assert!(out.stderr.contains(text), "{text} is not in {out:#?}");
    }
}

#[test]
fn a_classifier_for_other_classes_is_initialised_at_random() {
    let s = Sandbox::new();
    let arch: Arch = "resnet14".parse().unwrap();
    let model = Model::new(arch, Network::new(arch.graph(5), Init::He, 0));
    model.save(&s.path("five.pt"), SaveFormat::StateDict).unwrap();
    let args = [&SMALL[..], &["--epochs", "1", "--out", "run"]].concat();
    let resumed = s.run(&[&args[..], &["--resume", "five.pt"]].concat());
    resumed.fails_behind_notes(1, &["five.pt has 5 classes, but synthetic has 10"]);
    assert!(!s.path("run").exists());
    let out = s.run(&[&args[..], &["--init", "five.pt"]].concat()).success();
    for text in ["arch    resnet14", "note: the head (linear) has 5 classes in ", "the data has 10"]
    {
        assert!(out.stderr.contains(text), "{text} is not in {out:#?}");
    }
    // With --arch, the architecture is not inferred.
    let args = ["--arch", "resnet20", "--init", "five.pt", "--out", "other"];
    s.run(&[&SMALL[..], &args].concat()).fails(1, &["five.pt is not a resnet20", "a resnet14"]);
}

/// Class names and preprocessing of photos go with the weights.
#[test]
fn exports_of_a_run_on_photos_predict_as_the_run() {
    let s = Sandbox::new();
    write_photos(&s, &["a cat", "naïve dog"], 5);
    let usual =
        ["--init", "none", "--image-size", "32", "--epochs", "1", "--batch-size", "4", "-q"];
    s.run(&[&["train", "photos", "--out", "run"][..], &usual].concat()).success();
    let predict = |model: &str| {
        let args = ["predict", model, "photos", "--json", "--quiet"];
        let found = s.run(&args).success();
        assert_eq!(found.stderr, "", "nothing is guessed");
        let lines = found.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let expected = predict("run");
    assert!(expected.iter().all(|photo| photo["top"].as_array().unwrap().len() == 2));
    for (out, exact) in [
        ("net.safetensors", true),
        ("net.tar", true),
        ("net.onnx", true),
        ("folder/", true),
        ("fold.onnx", false),
    ] {
        let fold: &[&str] = if exact { &[] } else { &["--fold"] };
        s.run(&[&["convert", "run", out][..], fold].concat()).success();
        let found = predict(out.trim_end_matches('/'));
        if exact {
            assert_eq!(found, expected, "{out}");
            continue;
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found["top"][0]["class"], expected["top"][0]["class"]);
            let [a, b] = [found, expected].map(|p| p["top"][0]["probability"].as_f64().unwrap());
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
    // What other programs read.
    let config = fs::read_to_string(s.path("folder/config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["label_names"], serde_json::json!(["a cat", "naïve dog"]));
    let cfg = &config["pretrained_cfg"];
    assert_eq!(
        (&cfg["input_size"], &cfg["interpolation"]),
        (&serde_json::json!([3, 32, 32]), &"bilinear".into())
    );
    assert_eq!(cfg["mean"][0].as_f64().map(|mean| (mean * 1e3).round()), Some(485.0));
    let side = 32.0 / cfg["crop_pct"].as_f64().unwrap();
    assert_eq!(side.floor(), 36.0);
}

#[test]
fn grey_images_have_one_mean_and_others_none() {
    let s = Sandbox::new();
    let images = ["--mean", "0.25,0.5,0.75", "--std", "0.125,0.25,0.5"];
    let write = |name: &str, channels| {
        let arch: Arch = "resnet8".parse().unwrap();
        let network = Network::new(arch.graph_with(channels, 3, 4), Init::He, 0);
        Model::new(arch, network).save(&*s.path(name), SaveFormat::Safetensors).unwrap();
    };
    write("grey.safetensors", 1);
    for to in ["to.safetensors", "to.onnx", "to.tar"] {
        s.run(&[&["convert", "grey.safetensors", to][..], &images].concat()).success();
        let normalisation = Model::load(&s.path(to), None).unwrap().normalisation.unwrap();
        assert_eq!((normalisation.mean, normalisation.std), (vec![0.25], vec![0.125]), "{to}");
    }
    write_photos(&s, &["cat", "dog", "elk"], 1);
    let eval = |model, more: &[&str]| {
        s.json(&[&["eval", model, "photos", "--json"], more].concat())[0]["loss"].as_f64()
    };
    assert_eq!(eval("grey.safetensors", &images), eval("to.safetensors", &[]));
    write("four.safetensors", 4);
    s.run(&[&["convert", "four.safetensors", "other.safetensors"][..], &images].concat())
        .fails(2, &["--mean", "4 channels"]);
}
