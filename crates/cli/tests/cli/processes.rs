//! Several processes under the launchers of Open MPI and MPICH, where they are installed.

use std::process::Command;

use crate::common::{Finished, Sandbox, small, tensors, write_photos};

/// What starts `processes` processes; nothing where it is not installed.
fn launcher(name: &str, processes: &str) -> Option<Vec<String>> {
    let program = format!("mpirun.{name}");
    if Command::new(&program).arg("--version").output().is_err() {
        assert!(std::env::var_os("RESNET_TEST_MPI").is_none(), "no {program} to test");
        eprintln!("skipped: no {program} here");
        return None;
    }
    let mut words = vec![program];
    if name == "openmpi" {
        words.extend(["--allow-run-as-root", "--oversubscribe"].map(str::to_owned));
    }
    words.extend(["-n", processes].map(str::to_owned));
    Some(words)
}

/// Runs `resnet` under a launcher, if that is installed.
fn under(s: &Sandbox, name: &str, processes: &str, args: &[&str]) -> Option<Finished> {
    let words = launcher(name, processes)?;
    let resnet = s.command(args);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(resnet.get_program()).args(args);
    // Containers may not copy from each other's memory.
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    command.env("MPIEXEC_TIMEOUT", "300").env("RESNET_DATA", s.path("data"));
    command.current_dir(s.path("")).env_remove("RESNET_ISA").env_remove("RESNET_MPI");
    Some(Finished::of(args, command.output().expect("the launcher runs")))
}

const LAUNCHERS: [&str; 2] = ["openmpi", "mpich"];

#[test]
fn processes_share_a_run() {
    let s = Sandbox::new();
    let more = ["--epochs", "2", "--threads", "1", "--shards", "4"];
    s.run(&small(&[&more[..], &["--out", "alone"]].concat())).success();
    for name in LAUNCHERS {
        let args = small(&[&more[..], &["--out", name, "--ui", "log"]].concat());
        let Some(done) = under(&s, name, "2", &args) else { continue };
        let done = done.success();
        assert!(tensors(&s.path("alone")) == tensors(&s.path(name)), "{name}");
        // One process speaks.
        assert_eq!(done.stderr.matches("2 processes of 1 thread").count(), 1, "{done:?}");
        assert_eq!(done.stdout.matches("test accuracy").count(), 1, "{done:?}");
        let info = std::fs::read_to_string(s.path(name).join("run.json")).unwrap();
        assert!(info.contains("\"processes\": 2"), "{info}");
        // Another number of them goes on.
        let resume = ["train", "--resume", name, "--epochs", "3"];
        under(&s, name, "4", &resume).unwrap().success();
        s.run(&["train", "--resume", "alone", "--epochs", "3"]).success();
        assert!(tensors(&s.path("alone")) == tensors(&s.path(name)), "{name}, resumed");
        std::fs::remove_dir_all(s.path("alone")).unwrap();
        s.run(&small(&[&more[..], &["--out", "alone"]].concat())).success();
    }
}

#[test]
fn processes_share_photos() {
    let s = Sandbox::new();
    write_photos(&s, &["cats", "dogs"], 20);
    let more = ["--arch", "resnet8", "--image-size", "32", "--init", "none", "--epochs", "1"];
    let train = [&["train", "photos", "--batch-size", "12", "--shards", "2"][..], &more].concat();
    s.run(&[&train[..], &["--out", "alone"]].concat()).success();
    for name in LAUNCHERS {
        let args = [&train[..], &["--threads", "1", "--out", name]].concat();
        let Some(done) = under(&s, name, "2", &args) else { continue };
        done.success();
        assert!(tensors(&s.path("alone")) == tensors(&s.path(name)), "{name}");
        // All photos, also those that only another process has read.
        let photos = |run: &str| std::fs::read_to_string(s.path(run).join("photos.tsv")).unwrap();
        assert_eq!(photos(name), photos("alone"));
    }
}

/// Asserts that a command was wrong usage, and that exactly one line says why, with all of `parts`.
fn assert_refused(done: &Finished, parts: &[&str]) {
    assert_eq!(done.code, Some(2), "{done:?}");
    let all = format!("{}{}", done.stdout, done.stderr);
    let errors: Vec<&str> = all.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{done:?}");
    for part in parts {
        assert!(errors[0].contains(part), "'{part}' is not in {done:?}");
    }
}

#[test]
fn a_budget_is_planned_for_all_processes() {
    let s = Sandbox::new();
    write_photos(&s, &["cats", "dogs"], 20);
    let of_photos = ["train", "photos", "--arch", "resnet8", "--image-size", "32"];
    let of_photos = [&of_photos[..], &["--init", "none", "--recipe", "walkthrough"]].concat();
    for name in LAUNCHERS {
        for args in [&small(&[])[..], &of_photos] {
            let more = ["--threads", "1", "--budget", "2s", "--out", "run"];
            let Some(done) = under(&s, name, "2", &[args, &more].concat()) else { continue };
            let done = done.success();
            for part in [
                "measuring the training speed of 2 processes together to fit 2s",
                "time than by the speed that was measured first, of 2 processes",
            ] {
                assert_eq!(done.stderr.matches(part).count(), 1, "{part}: {done:?}");
            }
            let metrics = std::fs::read_to_string(s.path("run/metrics.jsonl")).unwrap();
            assert!(!metrics.is_empty());
            std::fs::remove_dir_all(s.path("run")).unwrap();
        }
    }
}

#[test]
fn processes_share_the_steps_of_a_benchmark() {
    let s = Sandbox::new();
    for name in LAUNCHERS {
        let args = ["bench", "--arch", "resnet8", "--batch", "8", "--seconds", "0.1"];
        let args = [&args[..], &["--threads", "1"]].concat();
        let Some(done) = under(&s, name, "2", &[&args[..], &["--json"]].concat()) else { continue };
        let done = done.success();
        // One process speaks.
        let record: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!((&record["processes"], &record["batch"]), (&2.into(), &8.into()));
        let number = |key: &str| record[key].as_f64().unwrap();
        let (ms, rate) = (number("ms_per_step"), number("images_per_second"));
        assert!((rate * ms / 8000.0 - 1.0).abs() < 1e-6, "{record}");
        assert!((0.0..=ms).contains(&number("communication_ms_per_step")), "{record}");
        let args = [&args[..], &["--wire", "bf16", "--comm-timeout", "60s"]].concat();
        let text = under(&s, name, "2", &args).unwrap().success().stdout;
        assert!(text.contains("2 processes of 1 thread") && text.contains("waiting for"), "{text}");
    }
    let alone =
        s.json(&["bench", "--arch", "resnet8", "--batch", "4", "--seconds", "0.01", "--json"]);
    assert_eq!(alone[0]["processes"], 1);
    assert!(alone[0].get("communication_ms_per_step").is_none(), "{alone:?}");
    s.run(&["bench", "--arch", "resnet8", "--wire", "bf16"]).fails(2, &["--wire bf16", "mpirun"]);
}

#[test]
fn what_processes_cannot_do_is_said_once() {
    let s = Sandbox::new();
    for name in LAUNCHERS {
        let train = |n: &str, more: &[&str]| {
            under(&s, name, n, &small(&[&["--epochs", "1", "--out", "run"], more].concat()))
        };
        let Some(done) = train("3", &["--shards", "4"]) else { continue };
        assert_refused(&done, &["3 processes cannot share batches of 4 shards"]);
        let budget = small(&["--budget", "10s", "--shards", "4", "--out", "run"]);
        assert_refused(&under(&s, name, "3", &budget).unwrap(), &["3 processes cannot share"]);
        for option in ["--mode eval", "--profile"] {
            let bench = ["bench", "--arch", "resnet8", "--batch", "4"];
            let bench: Vec<&str> = bench.into_iter().chain(option.split(' ')).collect();
            assert_refused(&under(&s, name, "2", &bench).unwrap(), &[option, "one process"]);
        }
        let bench = ["bench", "--arch", "resnet8", "--batch", "1"];
        assert_refused(&under(&s, name, "2", &bench).unwrap(), &["2 processes", "--batch"]);
        assert_refused(
            &train("2", &["--shards", "4", "--sync-batch-norm"]).unwrap(),
            &["4 processes"],
        );
        // Nothing is left behind.
        assert!(!s.path("run").exists(), "{name}");
    }
}

#[test]
fn other_verbs_are_one_process() {
    let s = Sandbox::new();
    let by_launcher = |rank: &str, args: &[&str]| {
        let mut command = s.command(args);
        command.env("OMPI_COMM_WORLD_SIZE", "2").env("OMPI_COMM_WORLD_RANK", rank);
        Finished::of(args, command.output().expect("the binary runs"))
    };
    for args in [&["eval", "demo"][..], &["experiment", "depth", "--out", "x"], &["lr-find"]] {
        let done = by_launcher("0", args);
        assert_refused(&done, &[&format!("`{}` is one process", args[0]), "without the launcher"]);
    }
    let other = by_launcher("1", &["report", "last"]);
    assert_eq!((other.code, &*other.stdout, &*other.stderr), (Some(2), "", ""), "{other:?}");
    for args in [&["archs"][..], &["devices"], &["eval", "--help"]] {
        by_launcher("1", args).success();
    }
}

#[test]
fn one_process_has_shards_too() {
    let s = Sandbox::new();
    let train = |out: &str, more: &[&str]| {
        s.run(&small(&[&["--epochs", "1", "--threads", "2", "--out", out], more].concat()))
    };
    train("whole", &[]).success();
    train("shards", &["--shards", "2"]).success();
    assert!(tensors(&s.path("whole")) != tensors(&s.path("shards")));
    let config = std::fs::read_to_string(s.path("shards/config.toml")).unwrap();
    assert!(config.contains("[recipe.parallel]\nshards = 2\n"), "{config}");
    train("run", &["--shards", "2", "--sync-batch-norm"]).fails(2, &["start 2 processes, not 1"]);
    train("run", &["--wire", "bf16"]).fails(2, &["--wire", "--shards"]);
    train("run", &["--shards", "65"]).fails(2, &["--shards", "--batch-size"]);
}

#[test]
fn photos_of_which_none_can_be_used_are_an_error_in_shards_too() {
    let s = Sandbox::new();
    for class in ["cats", "dogs"] {
        std::fs::create_dir_all(s.path("photos").join(class)).unwrap();
        for index in 0..4 {
            std::fs::write(s.path(format!("photos/{class}/{index}.jpg")), "no photo").unwrap();
        }
    }
    let more = ["--arch", "resnet8", "--image-size", "32", "--init", "none", "--epochs", "1"];
    let train =
        [&["train", "photos", "--shards", "2", "--out", "run", "--quiet"][..], &more].concat();
    s.run(&train).fails_behind_notes(1, &["photos", "none"]);
}
