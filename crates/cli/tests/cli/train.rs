//! Runs of a small network on synthetic data: train, evaluate, interrupt, resume.

use std::{fs, path::Path};

use serde_json::Value;

use crate::common::{Finished, Sandbox, metrics, small};

#[test]
fn a_run_finishes_and_can_be_evaluated() {
    let s = Sandbox::new();
    let out = s.run(&small(&["--epochs", "2", "--out", "run", "--threads", "2"])).success();
    assert!(out.stdout.starts_with("test accuracy "), "{out:#?}");
    for text in ["resnet8, 75,290 parameters", "synthetic, 256 training, 100 test images", "run"] {
        assert!(out.stderr.contains(text), "'{text}' in {out:#?}");
    }
    for file in ["config.toml", "metrics.jsonl", "log.txt", "last.safetensors"] {
        assert!(s.path("run").join(file).is_file(), "{file}");
    }
    let metrics = metrics(&s.path("run"));
    assert_eq!(metrics.len(), 2);
    for key in ["train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate"] {
        assert!(metrics[1][key].is_number(), "{key}");
    }

    // Evaluating the run gives the test accuracy of training.
    let eval = &s.json(&["eval", "run", "--limit-test", "100", "--json"])[0];
    assert_eq!(eval["images"], 100);
    assert_eq!(eval["accuracy"], metrics[1]["test_accuracy"]);
    assert_eq!(eval["per_class"].as_array().unwrap().len(), 10);
    assert!(eval["top5_accuracy"].as_f64() >= eval["accuracy"].as_f64());
    let error = eval["calibration_error"].as_f64().unwrap();
    assert!(error > 0.0 && error < 100.0, "{error}");
    let same = ["eval", "run/last.safetensors", "synthetic", "--limit-test", "100", "--json"];
    assert_eq!(s.json(&same)[0]["loss"], eval["loss"]);
    let shifted = ["--mean", "0,0,0", "--std", "1,1,1"];
    assert_ne!(s.json(&[&same[..], &shifted].concat())[0]["loss"], eval["loss"]);
    let text = s.run(&["eval", "run", "--limit-test", "100"]).success().stdout;
    assert!(text.contains("accuracy") && text.contains("top-5"), "{text}");

    let summary = &s.json(&["summary", "run", "--json"])[0];
    assert_eq!((&summary["arch"], &summary["parameters"]), (&"resnet8".into(), &75_290.into()));

    s.run(&small(&["--out", "run"])).fails(1, &["run already has a run", "--resume"]);
    s.run(&["train", "--resume", "run"]).success();
    // The default dtype is the fastest one of the machine.
    let dtype = &s.json(&["recipes", "--json"])[0]["dtype"];
    let config = fs::read_to_string(s.path("run/config.toml")).unwrap();
    assert!(config.contains(&format!("dtype = {dtype}")), "{config}");
    let log = fs::read_to_string(s.path("run/log.txt")).unwrap();
    assert!(log.contains(" native bfloat16 dot products\n") && !log.contains("faster"), "{log}");
}

#[test]
fn a_run_keeps_its_dtype() {
    let s = Sandbox::new();
    for dtype in ["fp32", "bf16"] {
        s.run(&small(&["--epochs", "1", "--dtype", dtype, "--out", dtype])).success();
        let out = s.run(&["train", "--resume", dtype]).success();
        assert!(out.stderr.contains(&format!("dtype   {dtype}: ")), "{out:#?}");
        let config = fs::read_to_string(s.path(dtype).join("config.toml")).unwrap();
        assert!(config.contains(&format!("dtype = \"{dtype}\"")), "{config}");
    }
    assert_ne!(metrics(&s.path("fp32")), metrics(&s.path("bf16")));

    // Evaluation is in fp32 by default, as during training.
    let eval = |more: &[&str]| {
        let args = ["eval", "bf16", "--limit-test", "100", "--json"];
        s.json(&[&args[..], more].concat())[0]["loss"].as_f64().unwrap()
    };
    let [default, fp32, bf16] = [eval(&[]), eval(&["--dtype", "fp32"]), eval(&["--dtype", "bf16"])];
    assert_eq!(default, metrics(&s.path("bf16"))[0]["test_loss"].as_f64().unwrap());
    assert_eq!(default, fp32);
    assert!(bf16 != fp32 && (bf16 / fp32 - 1.0).abs() < 0.05, "{bf16} for {fp32}");
}

/// Steps and outcome of each segment in `run.json`.
fn segments(run: &Path) -> Vec<(u64, u64, Option<String>)> {
    let text = fs::read_to_string(run.join("run.json")).expect("run.json");
    let facts: Value = serde_json::from_str(&text).expect("JSON");
    let steps = |segment: &Value, key: &str| segment[key].as_u64().expect("a number of steps");
    let entry = |segment: &Value| {
        let outcome = segment.get("outcome").map(|o| o.as_str().unwrap().to_owned());
        assert_eq!(segment.get("ended").is_some(), outcome.is_some(), "{text}");
        (steps(segment, "from_step"), steps(segment, "to_step"), outcome)
    };
    facts["segments"].as_array().expect("a list").iter().map(entry).collect()
}

#[test]
fn a_damaged_run_json_does_not_stop_a_run() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "2", "--out", "run"])).success();
    assert_eq!(segments(&s.path("run")), [(0, 8, Some("finished".into()))]);
    // As if it were killed before its first checkpoint, and the file damaged afterwards.
    let lose_all = || {
        for name in ["last.safetensors", "best.safetensors", "metrics.jsonl"] {
            fs::remove_file(s.path("run").join(name)).unwrap();
        }
    };
    lose_all();
    fs::write(s.path("run/run.json"), "{\"segments\": [{").unwrap();
    let out = s.run(&["train", "--resume", "run"]).success();
    assert!(out.stderr.contains("note: run/run.json is damaged: "), "{out:#?}");
    assert!(out.stderr.contains("writing a new one"), "{out:#?}");
    assert_eq!(segments(&s.path("run")), [(0, 8, Some("finished".into()))]);
    let log = fs::read_to_string(s.path("run/log.txt")).unwrap();
    assert!(log.contains("note: run/run.json is damaged: "), "{log}");

    // If run.json cannot be replaced, the run continues without it.
    lose_all();
    fs::remove_file(s.path("run/run.json")).unwrap();
    fs::create_dir(s.path("run/run.json")).unwrap();
    let out = s.run(&["train", "--resume", "run"]).success();
    assert!(out.stderr.contains("it is no longer updated"), "{out:#?}");
}

#[test]
fn another_instruction_set_is_noted() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1", "--out", "run"])).success();
    let isa =
        s.json(&["bench", "--arch", "resnet8", "--batch", "1", "--seconds", "0.01", "--json"]);
    let resume = ["train", "--resume", "run"];
    let output = s.command(&resume).env("RESNET_ISA", "portable").output().unwrap();
    let out = Finished::of(&resume, output).success();
    let warned = out.stderr.contains("not be bit-identical");
    assert_eq!(warned, isa[0]["isa"] != "portable", "{out:#?}");
}

#[test]
fn quiet_prints_nothing_and_json_a_line_per_epoch_and_one_at_the_end() {
    let s = Sandbox::new();
    let out = s.run(&small(&["--epochs", "2", "--json", "--quiet"])).success();
    assert_eq!(out.stderr, "");
    let runs: Vec<_> = fs::read_dir(s.path("runs")).unwrap().collect();
    let name = runs[0].as_ref().unwrap().file_name().into_string().unwrap();
    assert!(runs.len() == 1 && name.starts_with("resnet8-synthetic-2"), "{name}");
    let run = format!("runs/{name}");
    let text = fs::read_to_string(s.path(&run).join("metrics.jsonl")).unwrap();
    let (epochs, end) = out.stdout.split_at(text.len());
    assert_eq!(epochs, text);
    let end: Value = serde_json::from_str(end).unwrap();
    let expected: [Value; 3] = ["finished".into(), run.clone().into(), 2.into()];
    assert_eq!(["outcome", "folder", "epoch"].map(|key| end[key].clone()), expected);
    assert!([1, 2].contains(&end["best_epoch"].as_u64().unwrap()), "{end}");
    // The run is finished: nothing is trained, which is said.
    assert_eq!(s.json(&["train", "--resume", "last", "--json"]), [end]);
    let again = s.run(&["train", "--resume", "last"]).success();
    let over = format!("this run was over already, after epoch 2; --resume {run} --epochs N");
    assert!(again.stderr.contains(&over), "{again:#?}");
    assert!(again.stdout.ends_with(&format!("%, saved in {run}\n")), "{again:#?}");
}

#[test]
fn the_validation_set_chooses_the_best() {
    let s = Sandbox::new();
    let out =
        s.run(&small(&["--epochs", "1", "--validation", "64", "--out", "run", "--ui", "bar"]));
    let out = out.success();
    assert!(out.stderr.contains("192 training, 64 validation, 100 test"), "{out:#?}");
    assert!(metrics(&s.path("run"))[0]["validation_accuracy"].is_number());
    assert!(s.path("run/best.safetensors").is_file());
}

#[test]
fn fewer_images_than_a_batch_are_one_batch() {
    let s = Sandbox::new();
    let args = ["train", "synthetic", "--arch", "resnet8", "--limit-train", "5", "--limit-test"];
    s.run(&[&args[..], &["5", "--epochs", "1", "--out", "run"]].concat()).success();
    assert_eq!(metrics(&s.path("run"))[0]["step"], 1);
}

#[test]
fn a_budget_plans_the_length_and_states_the_drift() {
    let s = Sandbox::new();
    let args =
        ["train", "synthetic", "--arch", "resnet8", "--limit-train", "96", "--limit-test", "20"];
    let out = s.run(&[&args[..], &["--budget", "2s", "--out", "run"]].concat()).success();
    let notes = [
        "measuring the training speed",
        "planned 0:0",
        "time than by the speed that was measured first",
    ];
    assert!(notes.iter().all(|note| out.stderr.contains(note)), "{out:#?}");
    let log = fs::read_to_string(s.path("run/log.txt")).unwrap();
    assert!(log.contains("planned 0:0"), "{log}");
    assert!(!metrics(&s.path("run")).is_empty());
}

/// The frozen epochs are not compared with the recipe's own length, and the plan leaves some for all layers.
#[test]
fn a_budget_plans_around_frozen_epochs() {
    let s = Sandbox::new();
    let args = ["--budget", "3s", "--freeze-epochs", "20", "--recipe", "sprint"];
    let small = ["train", "synthetic", "--arch", "resnet8", "--limit-train", "8"];
    let rest = ["--limit-test", "8", "--batch-size", "8", "--out", "run"];
    s.run(&[&small[..], &args, &rest].concat()).success();
    let config = fs::read_to_string(s.path("run/config.toml")).unwrap();
    let number = |key: &str| -> f64 {
        let line = config.lines().filter_map(|line| line.strip_prefix(key)).next_back().unwrap();
        line.trim_start_matches([' ', '=']).parse().unwrap()
    };
    let steps = number("until") * number("total_steps");
    assert!((steps - 20.0).abs() < 1e-3, "{config}");
}

#[test]
fn weights_can_come_from_another_run() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1", "--out", "a"])).success();
    let init = ["--epochs", "1", "--out", "b", "--init", "a/last.safetensors"];
    s.run(&small(&init)).success();
    assert_ne!(metrics(&s.path("a")), metrics(&s.path("b")));
}

#[cfg(unix)]
mod signals {
    use std::{path::PathBuf, process::Command};

    use super::*;
    use crate::common::{Held, tensors};

    /// Stopped by SIGINT and SIGTERM, which save, and by SIGKILL, which loses the unsaved steps.
    #[test]
    fn interrupted_runs_resume_bit_exactly() {
        let s = Sandbox::new();
        let (run, whole) = (s.path("run"), s.path("whole"));
        let train = |out| small(&["--epochs", "4", "--seed", "3", "--out", out]);
        let resume = ["train", "--resume", "run"];
        s.run(&train("whole")).success();

        for (args, signal, code, epochs) in [
            (&train("run")[..], "-KILL", None, 0),
            (&resume, "-TERM", Some(143), 1),
            (&resume, "-KILL", None, 1),
            (&resume, "-INT", Some(130), 2),
        ] {
            let held = Held::at_the_end_of_an_epoch(&s, args);
            held.signal(signal);
            let out = held.finish();
            assert_eq!(out.code, code, "{out:#?}");
            let saved = out.stderr.contains("stopped, and the run is saved");
            assert_eq!(saved, code.is_some(), "{out:#?}");
            assert_eq!(saved, out.stderr.contains("--resume run"), "{out:#?}");
            assert_eq!(metrics(&run).len(), epochs, "{out:#?}");
            assert_eq!(run.join("last.safetensors").exists(), epochs > 0);
        }
        s.run(&resume).success();
        assert_eq!(metrics(&run), metrics(&whole));
        assert!(tensors(&run) == tensors(&whole), "bit-identical");
        // An epoch has four steps; the run finishes one more before it stops.
        let interrupted = Some("interrupted".to_owned());
        let expected = [
            (0, 0, None),
            (0, 5, interrupted.clone()),
            (5, 5, None),
            (5, 9, interrupted),
            (9, 16, Some("finished".to_owned())),
        ];
        assert_eq!(segments(&run), expected);
    }

    /// The time of a budget is that of the whole run.
    #[test]
    fn a_resumed_run_is_compared_with_its_plan() {
        let s = Sandbox::new();
        let held = Held::at_the_end_of_an_epoch(&s, &small(&["--budget", "5s", "--out", "run"]));
        held.signal("-INT");
        let stopped = held.finish();
        let drift = "time than by the speed that was measured first";
        assert!(!stopped.stderr.contains(drift), "{stopped:#?}");
        let out = s.run(&["train", "--resume", "run"]).success();
        assert!(out.stderr.contains(drift), "{out:#?}");
        // A complete run takes no time.
        let again = s.run(&["train", "--resume", "run"]).success();
        assert!(!again.stderr.contains(drift), "{again:#?}");
    }

    /// Whether whoever runs the tests has SIGHUP ignored, which programs inherit.
    fn ignores_hang_up() -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
    }

    /// A terminal that closes stops a run, which is saved, unless `nohup` started it.
    #[test]
    fn a_hang_up_saves_the_run() {
        let s = Sandbox::new();
        let held = Held::at_the_end_of_an_epoch(&s, &small(&["--epochs", "2", "--out", "run"]));
        held.signal("-HUP");
        held.signal("-HUP");
        let out = held.finish();
        let (code, epochs) = if ignores_hang_up() { (0, 2) } else { (129, 1) };
        assert_eq!(out.code, Some(code), "{out:#?}");
        assert_eq!(metrics(&s.path("run")).len(), epochs, "{out:#?}");
        s.run(&["train", "--resume", "run"]).success();
    }

    /// The first signal requests a stop that saves; the second ends the process at once.
    #[test]
    fn a_second_signal_ends_a_run_at_once() {
        let s = Sandbox::new();
        let held = Held::at_the_end_of_an_epoch(&s, &small(&["--epochs", "2", "--out", "run"]));
        // Two equal signals may be merged into one.
        held.signal("-INT");
        held.signal("-TERM");
        // It still waits to write to stdout.
        let out = held.end();
        assert!([Some(130), Some(143)].contains(&out.code), "{out:#?}");
        assert!(!s.path("run/last.safetensors").exists());
    }

    /// The shell limits files to 32 or 64 KB, less than a checkpoint needs.
    #[test]
    fn a_limit_on_file_sizes_stops_a_run_that_can_be_resumed() {
        let s = Sandbox::new();
        let args = small(&["--epochs", "1", "--out", "run", "--quiet"]);
        let resnet = env!("CARGO_BIN_EXE_resnet");
        let script = format!("ulimit -f 64; exec '{resnet}' {}", args.join(" "));
        let shell = Command::new("sh").args(["-c", &script]).current_dir(s.path(".")).output();
        let message = ["cannot write run/", ".safetensors: ", "ulimit -f", "--resume run"];
        Finished::of(&args, shell.unwrap()).fails(1, &message);
        let left: Vec<_> =
            fs::read_dir(s.path("run")).unwrap().map(|e| e.unwrap().path()).collect();
        let known = |path: &PathBuf| {
            ["config.toml", "log.txt", "metrics.jsonl", "run.json", ".lock"]
                .iter()
                .any(|name| path.ends_with(name))
        };
        assert!(left.iter().all(known), "{left:?}");
        s.run(&["train", "--resume", "run"]).success();
    }

    /// The run continues after both output pipes are closed.
    #[test]
    fn closed_output_pipes_are_not_an_error() {
        let s = Sandbox::new();
        let mut child = s.spawn(&small(&["--epochs", "1", "--out", "run"]));
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(s.path("run/last.safetensors").is_file());
    }
}
