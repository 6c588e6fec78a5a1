//! Run folders of their own, runs of another length, runs from a `config.toml`, and `last`.

use std::{fs, path::Path};

use crate::common::{Finished, Sandbox, small, tensors};

const TINY: [&str; 11] = [
    "train",
    "synthetic",
    "--arch",
    "resnet8",
    "--limit-train",
    "32",
    "--limit-test",
    "16",
    "--batch-size",
    "16",
    "--quiet",
];

/// `train` with a tiny network and these options.
fn tiny<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&TINY[..], more].concat()
}

fn epochs(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count()
}

#[test]
fn runs_that_start_together_get_a_folder_each() {
    let s = Sandbox::new();
    let seeds = ["1", "2", "3", "4"];
    let args = seeds.map(|seed| tiny(&["--epochs", "1", "--seed", seed]));
    let runs: Vec<_> = args.iter().map(|args| s.spawn(args)).collect();
    for (child, args) in runs.into_iter().zip(&args) {
        Finished::of(args, child.wait_with_output().unwrap()).success();
    }
    let folders: Vec<_> =
        fs::read_dir(s.path("runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), seeds.len(), "{folders:?}");
    let mut found: Vec<_> = folders
        .iter()
        .map(|run| {
            assert!(run.join("last.safetensors").is_file(), "{run:?}");
            let config = fs::read_to_string(run.join("config.toml")).unwrap();
            config.lines().find(|line| line.starts_with("seed")).unwrap().to_owned()
        })
        .collect();
    found.sort();
    assert_eq!(found, seeds.map(|seed| format!("seed = {seed}")));
}

#[test]
fn other_default_names_are_new_too() {
    let s = Sandbox::new();
    s.run(&tiny(&["--epochs", "1", "--out", "a"])).success();
    s.run(&tiny(&["--epochs", "1", "--out", "b"])).success();
    fs::write(s.path("report.html"), "mine").unwrap();
    let compared = ["report", "a", "b", "--no-eval"];
    assert_eq!(s.run(&compared).success().stdout, "report-2.html\n");
    assert_eq!(s.run(&compared).success().stdout, "report-3.html\n");
    assert_eq!(fs::read(s.path("report.html")).unwrap(), b"mine");
    // Two models of one name.
    fs::create_dir(s.path("x")).unwrap();
    fs::copy(s.path("a/last.safetensors"), s.path("net.safetensors")).unwrap();
    fs::copy(s.path("b/last.safetensors"), s.path("x/net.safetensors")).unwrap();
    for (model, folder) in [("net", "net-pictures"), ("x/net", "net-pictures-2")] {
        let model = format!("{model}.safetensors");
        let args = ["show", &model, "synthetic", "--limit-test", "4", "--json"];
        let file = s.json(&args)[0]["files"][0].clone();
        assert_eq!(file, format!("{folder}/predictions.png"));
        assert!(s.path(file.as_str().unwrap()).is_file());
    }
}

#[test]
fn a_run_gets_more_epochs() {
    let s = Sandbox::new();
    let run = s.path("run");
    s.run(&tiny(&["--epochs", "1", "--out", "run"])).success();
    let out = s.run(&["train", "--resume", "run", "--epochs", "3"]).success();
    assert!(out.stderr.contains("note: the run has 3 epochs in all now, instead of 1"), "{out:#?}");
    assert_eq!(epochs(&run), 3);
    let log = fs::read_to_string(run.join("log.txt")).unwrap();
    assert!(log.contains("note: the run has 3 epochs in all now"), "{log}");
    // Its config.toml repeats it, and so says its report.
    s.run(&["train", "--config", "run/config.toml", "--out", "again", "-q"]).success();
    assert!(tensors(&run) == tensors(&s.path("again")), "bit-identical");
    let report = &s.json(&["report", "run", "--no-eval", "--json"])[0]["runs"][0];
    assert_eq!(report["command"], "resnet train --config again.toml");
    assert_eq!((&report["state"], &report["epochs"]), (&"finished".into(), &3.into()));
    s.run(&["train", "--resume", "run", "--epochs", "2"])
        .fails(1, &["run has trained 3 epochs already: --epochs must be at least 3"]);
    // Other settings need a run of their own.
    let other = ["train", "--resume", "run", "--epochs", "4", "--lr", "1", "--seed", "2"];
    s.run(&other)
        .fails(2, &["--resume cannot be used with --lr, --seed: ", "--epochs", "--init run"]);
}

#[test]
fn a_configuration_starts_a_new_run() {
    let s = Sandbox::new();
    let whole = small(&[
        "--epochs",
        "2",
        "--validation",
        "56",
        "--lr",
        "0.1",
        "--seed",
        "5",
        "--out",
        "whole",
        "--mean",
        "0.4,0.5,0.6",
        "--std",
        "0.2,0.2,0.3",
        "--dtype",
        "fp32",
    ]);
    s.run(&whole).success();
    let config = fs::read_to_string(s.path("whole/config.toml")).unwrap();
    for (source, out) in [("whole/config.toml", "file"), ("whole", "folder")] {
        s.run(&["train", "--config", source, "--out", out]).success();
        assert!(tensors(&s.path(out)) == tensors(&s.path("whole")), "bit-identical");
        assert_eq!(fs::read_to_string(s.path(out).join("config.toml")).unwrap(), config);
    }

    // Options override its settings.
    let other = ["train", "--config", "whole", "--out", "other", "--epochs", "1", "--batch-size"];
    let other = [&other[..], &["32", "--seed", "0", "--limit-train", "120"]].concat();
    s.run(&other).success();
    let other = fs::read_to_string(s.path("other/config.toml")).unwrap();
    for (from, to) in [
        ("seed = 5", "seed = 0"),
        ("total_steps = 8", "total_steps = 2"),
        ("epochs = 2", "epochs = 1"),
        ("batch_size = 64", "batch_size = 32"),
        ("train_images = 200", "train_images = 64"),
        ("limit_train = 256", "limit_train = 120"),
    ] {
        assert!(config.lines().any(|line| line == from), "{from} is not in {config}");
        assert!(other.lines().any(|line| line == to), "{to} is not in {other}");
    }
    assert_eq!(other.lines().zip(config.lines()).filter(|(a, b)| a != b).count(), 6, "{other}");

    // Edited by hand.
    let edited = |from: &str, to: &str| {
        assert!(config.contains(from), "{from} is not in {config}");
        fs::write(s.path("mine.toml"), config.replace(from, to)).unwrap();
        s.run(&["train", "--config", "mine.toml", "--out", "mine"])
    };
    for (from, to, parts) in [
        ("seed = 5", "sead = 5", ["mine.toml: ", "unknown field `sead`"]),
        ("seed = 5", "seed = 'x'", ["mine.toml: line 2 (seed = 'x')", "expected u64"]),
        ("name = \"synthetic\"", "name = \"imagenet\"", ["mine.toml: data.name", "`imagenet`"]),
        ("image_size = 32", "image_size = 9999", ["images are 32x32x3", "not to 9999"]),
        ("batch_size = 64", "batch_size = 0", ["mine.toml: ", "--batch-size"]),
    ] {
        edited(from, to).fails(1, &parts);
        assert!(!s.path("mine").exists());
    }
    let out = edited("epochs = 2", "epochs = 1").success();
    assert!(out.stderr.contains("note: mine.toml: total_steps (8) decides the length"), "{out:#?}");
    assert_eq!(epochs(&s.path("mine")), 2);
    s.run(&["train", "--config", "none.toml"]).fails(1, &["none.toml: cannot be read"]);
    s.run(&["train", "--config", "whole", "--resume", "whole"]).fails(2, &["cannot be used with"]);

    // As for a run folder, nothing is downloaded into the folder that the file names.
    let foreign = config.replace("name = \"synthetic\"", "name = \"cifar10\"\ndir = \"/nowhere\"");
    fs::write(s.path("whole/config.toml"), &foreign).unwrap();
    for verb in ["eval", "show"] {
        s.run(&[verb, "whole"])
            .fails_behind_notes(1, &["cifar10 is not in /nowhere", "--data-dir"]);
    }
    fs::write(s.path("mine.toml"), foreign).unwrap();
    s.run(&["train", "--config", "mine.toml", "--out", "foreign"])
        .fails(1, &["cifar10 is not in /nowhere", "--data-dir"]);
}

#[test]
fn last_is_the_newest_run() {
    let s = Sandbox::new();
    for verb in [&["eval", "last"][..], &["summary", "last"], &["train", "--init", "last"]] {
        s.run(verb).fails(1, &["there is no run in runs", "`last`"]);
    }
    s.run(&tiny(&["--epochs", "1", "--seed", "1"])).success();
    // Without the network of the others.
    let few: Vec<&str> =
        TINY.iter().copied().filter(|word| !["--arch", "resnet8"].contains(word)).collect();
    let newest = ["--epochs", "1", "--arch", "resnet14", "--out", "runs/newest"];
    s.run(&[&few[..], &newest].concat()).success();
    let eval =
        |model: &str| s.json(&["eval", model, "--limit-test", "16", "--json"])[0]["loss"].clone();
    assert_eq!(eval("last"), eval("runs/newest"));
    assert_eq!(s.json(&["summary", "last", "--json"])[0]["arch"], "resnet14");
    s.run(&["convert", "last", "net.pt"]).success();
    let shown = &s.json(&["show", "last", "--limit-test", "4", "--json"])[0]["files"][0];
    assert_eq!(shown, "runs/newest/pictures/predictions.png");
    let shapes = s.path("runs/newest/pictures/filters.png");
    let shapes = shapes.to_str().unwrap();
    assert_eq!(s.json(&["predict", "last", shapes, "--json"]).len(), 1);

    // As initial weights, those of the folder and of the checkpoint in it.
    for (init, out) in [("last", "a"), ("runs/newest", "b"), ("runs/newest/last.safetensors", "c")]
    {
        // The network is the file's.
        let args = ["--epochs", "1", "--init", init, "--out", out];
        s.run(&[&few[..], &args].concat()).success();
        assert!(tensors(&s.path(out)) == tensors(&s.path("a")), "{init}");
    }
    // A file or folder of that name is itself.
    fs::rename(s.path("net.pt"), s.path("last")).unwrap();
    s.run(&["eval", "last", "synthetic", "--limit-test", "4"]).success();
    let resumed = ["--resume", "last", "--epochs", "1", "--out", "d"];
    s.run(&[&few[..], &resumed].concat()).success();
}
