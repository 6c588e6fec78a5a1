//! Reports of real runs. scripts/check-report tests such pages in a browser.

use std::{fs, path::Path};

use serde_json::Value;

use crate::common::Sandbox;

/// The machine comes from `run.json`, not from the log.
#[test]
fn the_machine_comes_from_run_json() {
    let s = Sandbox::new();
    train(&s, "run", &["--threads", "1"]);
    let log = "training x; 77 threads, abacus; fp32: beads";
    fs::write(s.path("run/log.txt"), log).unwrap();
    let path = s.path("run/run.json");
    let mut facts: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    facts["segments"][0]["cpu"] = "<i>Z80".into();
    fs::write(&path, facts.to_string()).unwrap();
    s.run(&["report", "run", "--no-eval"]).success();
    let page = fs::read_to_string(s.path("run/report.html")).unwrap();
    for text in [
        "<dt>Processor</dt><dd>&lt;i&gt;Z80</dd>",
        "<dt>Threads</dt><dd>1</dd>",
        "<dt>Trained</dt><dd>2",
        "Z, finished</dd>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("abacus"));
}

/// Trains for a moment.
fn train(s: &Sandbox, run: &str, more: &[&str]) {
    let tiny = ["train", "synthetic", "--arch", "resnet8", "--limit-train", "64", "--limit-test"];
    let rest = ["40", "--batch-size", "32", "--epochs", "2", "--out", run, "--quiet"];
    s.run(&[&tiny[..], &rest, more].concat()).success();
}

fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

fn last_metrics(s: &Sandbox, run: &str) -> Value {
    let text = fs::read_to_string(s.path(run).join("metrics.jsonl")).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_report_has_curves_and_an_evaluation() {
    let s = Sandbox::new();
    train(&s, "runs/a", &["--lr", "0.05"]);
    let out = s.run(&["report", "runs/a", "--title", "Mine & yours"]).success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("runs/a/report.html\n", ""));
    let page = fs::read_to_string(s.path("runs/a/report.html")).unwrap();
    let accuracy = last_metrics(&s, "runs/a")["test_accuracy"].as_f64().unwrap();
    for text in [
        "<title>Mine &amp; yours</title>",
        &format!("{accuracy:.2}%"),
        "resnet train synthetic --arch resnet8 --recipe fast --epochs 2 --batch-size 32 --lr 0.05",
        "Confusion matrix",
        "of the first 32 test images ",
        "last.safetensors, after epoch 2, on 40 test images",
        "Instruction set",
        "75.3 k",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.len() < 2_000_000);

    // With --json, the evaluation equals the run's own. Nothing else is left in the folder.
    let record = &s.json(&["report", "runs/a", "--json"])[0];
    assert_eq!(record["bytes"], fs::metadata(s.path("runs/a/report.html")).unwrap().len());
    let run = &record["runs"][0];
    assert_eq!(run["accuracy"].as_f64(), Some(accuracy));
    assert_eq!((&run["test_accuracy"], &run["state"]), (&run["accuracy"], &"finished".into()));
    let facts = fs::read_to_string(s.path("runs/a/run.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(run["segments"], facts["segments"]);
    let files = fs::read_dir(s.path("runs/a")).unwrap().map(|e| e.unwrap().file_name());
    assert!(files.into_iter().all(|name| !name.to_string_lossy().contains("unfinished")));

    let fewer = &s.json(&["report", "last", "--limit-test", "5", "--out", "x.html", "--json"])[0];
    assert_eq!((&fewer["report"], &fewer["runs"][0]["name"]), (&"x.html".into(), &"a".into()));
    assert!(fs::read_to_string(s.path("x.html")).unwrap().contains("on 5 test images"));
}

#[test]
fn several_runs_are_compared() {
    let s = Sandbox::new();
    train(&s, "a/run", &[]);
    train(&s, "b/run", &["--seed", "9"]);
    fs::create_dir(s.path("experiment")).unwrap();
    fs::write(s.path("notes.txt"), "").unwrap();
    let out = s.run(&["report", "a/run", "experiment", "notes.txt", "b/run", "--no-eval"]);
    let out = out.success();
    assert_eq!(out.stdout, "report.html\n");
    for other in ["experiment", "notes.txt"] {
        assert!(out.stderr.contains(&format!("note: {other} is left out")), "{out:#?}");
        s.run(&["report", other]).fails(1, &[&format!("{other} is not a run folder")]);
    }
    let page = fs::read_to_string(s.path("report.html")).unwrap();
    assert!(page.contains("<bdi>a/run</bdi>") && page.contains("<bdi>b/run</bdi>"));
    assert!(page.contains("<tr><th scope=\"row\">seed<td>0<td>9"));
    assert!(!page.contains("Confusion matrix"));
}

#[test]
fn a_missing_evaluation_is_noted() {
    let s = Sandbox::new();
    train(&s, "run", &[]);
    let report = || {
        let out = s.run(&["report", "run"]).success();
        (out.stderr, fs::read_to_string(s.path("run/report.html")).unwrap())
    };
    // A run that was stopped before its end.
    change(&s.path("run/config.toml"), "total_steps = 4", "total_steps = 9");
    let (stderr, page) = report();
    assert!(stderr.is_empty() && page.contains("Stopped: 2 of 5 epochs done"), "{stderr}");
    // Its length is not a whole number of epochs: the command starts from the configuration.
    assert!(page.contains("resnet train --config again.toml") && page.contains("again.toml"));
    change(&s.path("run/run.json"), "\"finished\"", "\"diverged\"");
    assert!(report().1.contains("Diverged: 2 of 5 epochs done"));

    change(&s.path("run/config.toml"), "name = \"synthetic\"", "name = \"cifar10\"");
    let (stderr, page) = report();
    assert!(
        stderr.contains("cifar10 is not downloaded") && stderr.lines().count() == 1,
        "{stderr}"
    );
    assert!(page.contains("The network is not evaluated: cifar10 is not downloaded"));
    let there = s.run(&["report", "run", "--data-dir", "my data"]).success();
    assert!(there.stderr.contains("`resnet data fetch cifar10 --data-dir 'my data'`"), "{there:?}");
    assert!(page.contains("Training curves") && !page.contains("Confusion matrix"));

    for file in ["last.safetensors", "best.safetensors"] {
        fs::remove_file(s.path("run").join(file)).unwrap();
    }
    for file in ["log.txt", "metrics.jsonl", "run.json"] {
        fs::remove_file(s.path("run").join(file)).unwrap();
    }
    let (stderr, page) = report();
    assert!(stderr.contains("no checkpoint yet"), "{stderr}");
    assert!(page.contains("No epoch is finished yet") && page.contains("0 of 5 epochs done"));
    assert!(!page.contains("Instruction set"), "runs of earlier versions have no run.json");
    // --quiet prints no notes.
    assert_eq!(s.run(&["report", "run", "--quiet"]).success().stderr, "");
}

#[test]
fn errors_name_the_damaged_file() {
    let s = Sandbox::new();
    train(&s, "run", &[]);
    let metrics = s.path("run/metrics.jsonl");
    let good = fs::read_to_string(&metrics).unwrap();
    let first = good.lines().next().unwrap();
    for (lines, part) in [
        (format!("{first}\n{{\"epoch\":2,"), "damaged: EOF"),
        (format!("{first}\n{first}\n"), "epoch 1 comes after epoch 1"),
        (format!("{first}\nnull\n"), "damaged: invalid type: null"),
        (format!("{first}\n{{\"train_loss\":1}}\n"), "damaged: missing field `epoch`"),
    ] {
        fs::write(&metrics, lines).unwrap();
        s.run(&["report", "run"]).fails(1, &["run/metrics.jsonl line 2", part]);
    }
    fs::write(&metrics, good).unwrap();
    let facts = s.path("run/run.json");
    let good = fs::read_to_string(&facts).unwrap();
    for (text, part) in [
        ("{", "is damaged: EOF"),
        ("7", "is damaged: invalid type"),
        (&good.replace("\"threads\": ", "\"threads\": -"), "is damaged: invalid value"),
    ] {
        fs::write(&facts, text).unwrap();
        s.run(&["report", "run"]).fails(1, &["run/run.json", part, "repair or remove it"]);
    }
    assert!(!s.path("run/report.html").exists());
    fs::write(&facts, good).unwrap();
    fs::write(s.path("run/last.safetensors"), "x").unwrap();
    s.run(&["report", "run"]).fails(1, &["run/last.safetensors", "--no-eval"]);
    s.run(&["report", "run", "--no-eval"]).success();
    s.run(&["report", "run", "nowhere"]).fails(1, &["nowhere is not a run", "config.toml"]);
    s.run(&["report", "run", "--no-eval", "--out", "no/x.html"]).fails(1, &["no/x.html"]);
}
