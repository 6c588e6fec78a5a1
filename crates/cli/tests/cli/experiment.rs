//! The paper's experiments: several runs by one command, continued by the same command.

use std::{
    fs,
    io::{BufRead, BufReader},
};

use serde_json::Value;

use crate::common::{Finished, Sandbox, metrics, tensors};

const RUNS: [&str; 4] = ["plain8-seed0", "resnet8-seed0", "plain8-seed1", "resnet8-seed1"];

/// An experiment of two nets and two seeds, with these options.
fn tiny<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["experiment", "degradation", "synthetic", "--depths", "8", "--seeds", "2"];
    let images = ["--limit-train", "48", "--limit-test", "32", "--batch-size", "16"];
    [&usual[..], &images, more].concat()
}

/// Results without the place of the folder.
fn results(record: &Value) -> Value {
    let mut record = record.clone();
    assert!(record.as_object_mut().unwrap().remove("folder").is_some());
    record
}

/// Starts an experiment and kills it at the `nth` line of its stderr that starts with this text, from 0.
fn kill_at(s: &Sandbox, args: &[&str], text: &str, nth: usize) {
    let mut child = s.spawn(args);
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = stderr.lines().map(|line| line.expect("UTF-8"));
    let found = lines.by_ref().filter(|line| line.starts_with(text)).nth(nth);
    assert!(found.is_some(), "it ended without '{text}'");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_experiment_ends_with_the_same_table() {
    let s = Sandbox::new();
    let args = |out: &'static str| tiny(&["--epochs", "2", "--json", "--out", out]);
    let whole = s.json(&args("whole"))[0].clone();
    assert_eq!((&whole["experiment"], &whole["epochs"]), (&"degradation".into(), &2.into()));
    let nets = whole["nets"].as_array().unwrap();
    assert_eq!(nets.len(), 2);
    for (net, name) in nets.iter().zip(["plain8", "resnet8"]) {
        assert_eq!(net["net"], name);
        assert_eq!(net["parameters"], 75_290);
        let errors: Vec<f64> = net["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["test_error"].as_f64().unwrap())
            .collect();
        let mean = errors.iter().sum::<f64>() / 2.0;
        assert!((net["test_error"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9, "{net}");
        let std = (errors[0] - errors[1]).abs() / 2f64.sqrt();
        assert!((net["test_error"]["std"].as_f64().unwrap() - std).abs() < 1e-9, "{net}");
    }
    assert_eq!(metrics(&s.path("whole")).len(), 8);
    let text = fs::read_to_string(s.path("whole/results.json")).unwrap();
    assert_eq!(results(&serde_json::from_str(&text).unwrap()), results(&whole));

    // Killed in the first run, and in a later one; a finished run is kept.
    kill_at(&s, &args("cut"), "epoch 1: train loss", 0);
    kill_at(&s, &args("cut"), "run ", 1);
    let first = s.path("cut").join(RUNS[0]);
    let kept = fs::metadata(first.join("last.safetensors")).unwrap().modified().unwrap();
    let out = s.run(&args("cut")).success();
    assert!(out.stderr.contains(" of 4 runs ended before"), "{out:#?}");
    assert!(!out.stderr.contains("run 1 of 4"), "{out:#?}");
    let again: Value = serde_json::from_str(out.stdout.trim()).unwrap();
    assert_eq!(results(&again), results(&whole));
    assert_eq!(metrics(&s.path("cut")), metrics(&s.path("whole")));
    for run in RUNS {
        let [cut, whole] = ["cut", "whole"].map(|out| tensors(&s.path(out).join(run)));
        assert!(cut == whole, "{run}: bit-identical");
    }
    assert_eq!(kept, fs::metadata(first.join("last.safetensors")).unwrap().modified().unwrap());

    // Complete: the same again.
    assert_eq!(s.json(&args("cut"))[0], again);

    // A run of it is one of `train`.
    let alone = ["train", "synthetic", "--arch", "resnet8", "--recipe", "paper", "--epochs", "2"];
    let images = ["--limit-train", "48", "--limit-test", "32", "--batch-size", "16", "--seed", "1"];
    s.run(&[&alone[..], &images, &["--out", "alone"]].concat()).success();
    assert!(tensors(&s.path("alone")) == tensors(&s.path("whole").join(RUNS[3])));
    s.run(&["eval", "whole/plain8-seed0", "--limit-test", "8"]).success();

    other_experiments_are_refused(&s);
    the_figure_has_two_lines_for_each_net(&s);
    its_nets_responses_are_measured(&s);
}

fn other_experiments_are_refused(s: &Sandbox) {
    let before = fs::read(s.path("whole/experiment.toml")).unwrap();
    s.run(&tiny(&["--epochs", "3", "--out", "whole"]))
        .fails(1, &["whole has another experiment (epochs there: 2, here: 3)", "--out"]);
    s.run(&tiny(&["--epochs", "2", "--lr", "1", "--out", "whole"])).fails(2, &["--lr"]);
    s.run(&["experiment", "depth", "synthetic", "--out", "whole"])
        .fails(1, &["experiment there: degradation, here: depth"]);
    s.run(&tiny(&["--epochs", "2", "--out", "alone"])).fails(1, &["alone is a run folder"]);
    assert_eq!(fs::read(s.path("whole/experiment.toml")).unwrap(), before);
    // Nor does it go on with another device.
    let text = String::from_utf8(before.clone()).unwrap();
    let device = text.lines().find(|line| line.starts_with("device = ")).unwrap();
    let elsewhere = text.replace(device, "device = \"A card\"");
    fs::write(s.path("whole/experiment.toml"), elsewhere).unwrap();
    s.run(&tiny(&["--epochs", "2", "--device", "cpu", "--out", "whole"]))
        .fails(1, &["device there: A card, here: cpu"]);
    fs::write(s.path("whole/experiment.toml"), before).unwrap();
    // A run with other batches is none of the experiment's, nor is one that was made longer.
    let config = s.path("cut/resnet8-seed1/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("batch_size = 16"), "{text}");
    fs::write(&config, text.replace("batch_size = 16", "batch_size = 8")).unwrap();
    s.run(&tiny(&["--epochs", "2", "--out", "cut"]))
        .fails(1, &["cut/resnet8-seed1: it has batches of 8 at a rate of ", "batches of 16 at "]);
    fs::write(&config, text).unwrap();
    s.run(&["train", "--resume", "cut/plain8-seed0", "--epochs", "3"]).success();
    s.run(&tiny(&["--epochs", "2", "--out", "cut"]))
        .fails(1, &["cut/plain8-seed0: it has 3 epochs, the runs of the experiment have 2"]);
}

fn the_figure_has_two_lines_for_each_net(s: &Sandbox) {
    let svg = fs::read_to_string(s.path("whole/figure.svg")).unwrap();
    let lines: Vec<&str> = svg.lines().filter(|line| line.contains("<polyline")).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines.iter().filter(|line| line.contains("dasharray")).count(), 2);
    for text in [">plain8<", ">resnet8<", "plain nets", "residual nets", "error, %"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(fs::read(s.path("whole/figure.png")).unwrap().starts_with(b"\x89PNG"));
}

fn its_nets_responses_are_measured(s: &Sandbox) {
    let model = ["experiment", "responses", "--model", "whole", "--limit-test", "16"];
    let record = s.json(&[&model[..], &["--json"]].concat())[0].clone();
    assert_eq!(record["folder"], "runs/experiment-responses-synthetic");
    // Its pictures are no photos of a folder around it.
    assert!(s.path("runs/experiment-responses-synthetic/.resnet-pictures").is_file());
    let nets = record["responses"].as_array().unwrap();
    assert_eq!(nets.len(), 2);
    for (net, name) in nets.iter().zip(["plain8", "resnet8"]) {
        assert_eq!((&net["name"], &net["images"]), (&name.into(), &16.into()));
        let layers = net["layers"].as_array().unwrap();
        assert_eq!((layers.len(), &layers[0]["layer"]), (7, &"conv1".into()));
        assert!(layers.iter().all(|layer| layer["std"].as_f64().unwrap() > 0.0));
    }
    // The second time in a folder of its own; a run and a file are models too.
    let more = ["--model", "whole/resnet8-seed1"];
    let out = s.run(&[&model[..], &more].concat()).success();
    assert!(out.stdout.contains("saved in runs/experiment-responses-synthetic-2"), "{out:#?}");
    assert!(out.stdout.contains("resnet8 (whole/resnet8-seed1)"), "{out:#?}");
    let svg = s.path("runs/experiment-responses-synthetic-2/responses.svg");
    let svg = fs::read_to_string(svg).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 6);
    assert!(svg.contains("sorted by magnitude"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_experiment_says_how_to_go_on() {
    let s = Sandbox::new();
    let long = ["--epochs", "100000", "--out", "long", "--ui", "log"];
    let args = tiny(&long);
    let mut child = s.spawn(&args);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.lines().last().unwrap_or_default().contains("epoch 2: train loss") {
        assert!(stderr.read_line(&mut text).unwrap() > 0, "{text}");
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    assert!(text.contains("saved in long: the same command continues"), "{text}");
    assert!(text.contains("run 1 of 4: "), "{text}");
    assert!(text.contains(" left, all runs "), "{text}");
    assert!(s.path("long/plain8-seed0/last.safetensors").is_file());
}

#[test]
fn a_budget_is_measured_once() {
    let s = Sandbox::new();
    let usual = ["experiment", "depth", "synthetic", "--nets", "resnet8", "--budget", "100ms"];
    let images = ["--limit-train", "32", "--limit-test", "16", "--batch-size", "16"];
    let args = [&usual[..], &images, &["--out", "out"]].concat();
    let out = s.run(&args).success();
    assert!(out.stderr.contains("measuring the training speed of 1 net"), "{out:#?}");
    assert!(out.stdout.contains("\nresnet8 "), "{out:#?}");
    let again = s.run(&args).success();
    assert!(!again.stderr.contains("measuring"), "{again:#?}");
    assert_eq!(again.stdout, out.stdout);
}

#[test]
fn responses_of_trained_nets_are_part_of_their_experiment() {
    let s = Sandbox::new();
    let usual = ["experiment", "responses", "synthetic", "--nets", "resnet8", "--epochs", "1"];
    let images = ["--limit-train", "32", "--limit-test", "16", "--batch-size", "16"];
    let out = s.run(&[&usual[..], &images].concat()).success();
    assert!(out.stdout.contains("mean response"), "{out:#?}");
    let folder = s.path("runs/experiment-responses-synthetic");
    for file in ["experiment.toml", "figure.svg", "figure.png", "responses.svg", "responses.png"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    // Its run is the newest one.
    let newest = &s.json(&["report", "last", "--no-eval", "--json"])[0]["runs"][0];
    assert_eq!(newest["state"], "finished");
}

#[test]
fn wrong_usage_of_experiments() {
    let s = Sandbox::new();
    for (args, part) in [
        (&["experiment"][..], "required arguments"),
        (&["experiment", "everything"], "invalid value 'everything'"),
        (&["experiment", "depth", "--depths", "21"], "unknown architecture 'resnet21'"),
        (&["experiment", "depth", "--depths", "20", "--nets", "resnet20"], "cannot be used with"),
        (&["experiment", "depth", "--epochs", "2", "--budget", "1h"], "cannot be used with"),
        (&["experiment", "depth", "--seeds", "0"], "--seeds"),
        (&["experiment", "depth", "--seeds", "101"], "a whole number from 1 to 100"),
        (&["experiment", "depth", "--model", "demo"], "--model is for `experiment responses`"),
        (
            &["experiment", "responses", "--model", "demo", "--epochs", "2"],
            "--epochs is for training",
        ),
        (
            &["experiment", "responses", "--model", "demo", "--dtype", "bf16"],
            "--dtype is for training",
        ),
    ] {
        s.run(args).fails(2, &[part]);
    }
    let left = fs::read_dir(s.path(".")).unwrap().count();
    assert_eq!(left, 0, "wrong usage writes no files");
}

#[test]
fn images_of_a_data_set_are_enlarged() {
    let s = Sandbox::new();
    let usual = ["train", "synthetic", "--arch", "resnet8", "--recipe", "paper", "--epochs", "2"];
    let images = ["--limit-train", "48", "--limit-test", "32", "--batch-size", "16"];
    let args = [&usual[..], &images, &["--image-size", "48"]].concat();
    let with = |more: &[&'static str]| [&args[..], more].concat();
    s.run(&with(&["--out", "large"])).success();
    let config = fs::read_to_string(s.path("large/config.toml")).unwrap();
    assert!(config.contains("image_size = 48") && config.contains("pad = 6"), "{config}");
    let lines = |run: &str| {
        let text = fs::read_to_string(s.path(run).join("metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    // `eval` enlarges them in the same way.
    let eval = &s.json(&["eval", "large", "--limit-test", "32", "--json"])[0];
    assert_eq!(eval["accuracy"], lines("large")[1]["test_accuracy"]);
    assert_eq!(eval["loss"], lines("large")[1]["test_loss"]);
    // A killed run goes on, and its configuration repeats it.
    let mut child = s.spawn(&with(&["--out", "cut"]));
    let stderr = BufReader::new(child.stderr.take().unwrap());
    assert!(stderr.lines().any(|line| line.unwrap().contains("epoch 1: train loss")));
    child.kill().unwrap();
    child.wait().unwrap();
    s.run(&["train", "--resume", "cut"]).success();
    s.run(&["train", "--config", "large", "--out", "again"]).success();
    for run in ["cut", "again"] {
        assert!(tensors(&s.path(run)) == tensors(&s.path("large")), "{run}");
    }
    let report = &s.json(&["report", "large", "--no-eval", "--json"])[0]["runs"][0];
    let command = report["command"].as_str().unwrap();
    assert!(command.contains(" --image-size 48"), "{command}");
    s.run(&[&usual[..], &["--image-size", "4096"]].concat())
        .fails(1, &["choose a smaller --image-size"]);
    let Finished { code, .. } = s.run(&["train", "synthetic", "--labels", "x.csv"]);
    assert_eq!(code, Some(2));
}
