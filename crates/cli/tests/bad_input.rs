//! Files and folders that are not as they should be: one clear line, nothing left half-written.

mod common;

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use common::{Finished, Sandbox};

const SMALL: [&str; 8] =
    ["train", "synthetic", "--arch", "resnet8", "--limit-train", "64", "--limit-test", "10"];

#[test]
fn missing_models_and_runs() {
    let s = Sandbox::new();
    s.run(&["eval", "nowhere"]).fails(1, &["nowhere"]);
    s.run(&["summary", "nowhere"]).fails(2, &["'nowhere'", "no file of that name"]);
    s.run(&["train", "--resume", "nowhere"]).fails(1, &["nowhere", "config.toml"]);
    s.run(&["train", "--resume", "last"]).fails(1, &["no run in runs", "--resume"]);
    fs::create_dir(s.path("empty")).unwrap();
    s.run(&["eval", "empty"]).fails(1, &["empty"]);
    s.run(&[&SMALL[..], &["--init", "nowhere", "--out", "run"]].concat()).fails(1, &["nowhere"]);
    assert!(!s.path("run").exists(), "a run that cannot begin leaves no folder");
}

#[test]
fn truncated_and_lying_batch_files() {
    let s = Sandbox::new();
    let folder = s.path("data/cifar-10-batches-bin");
    fs::create_dir_all(&folder).unwrap();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"] {
        fs::write(folder.join(name).with_extension("bin"), vec![0; 30_730_000]).unwrap();
    }
    let test = folder.join("test_batch.bin");
    let train = ["train", "cifar10", "--arch", "resnet8", "--out", "run"];
    fs::write(&test, vec![0; 30_729_999]).unwrap();
    s.run(&train).fails(1, &["test_batch.bin", "30730000", "30729999", "data fetch cifar10"]);
    let mut bytes = vec![0; 30_730_000];
    bytes[3073] = 10;
    fs::write(&test, bytes).unwrap();
    s.run(&train).fails(1, &["test_batch.bin", "record 1", "label 10", "data fetch cifar10"]);
    s.run(&["data", "verify", "cifar10"]).fails(1, &["6 of the 6", "data fetch cifar10"]);
    assert!(!s.path("run").exists());
}

#[test]
fn damaged_and_foreign_checkpoints() {
    let s = Sandbox::new();
    s.run(&[&SMALL[..], &["--epochs", "1", "--out", "run"]].concat()).success();
    let good = fs::read(s.path("run/last.safetensors")).unwrap();
    let other = ["eval", "run", "--arch", "resnet20"];
    s.run(&other).fails(1, &["run/last.safetensors", "resnet8", "resnet20"]);
    let init = ["train", "synthetic", "--arch", "resnet20", "--init", "run/last.safetensors"];
    s.run(&[&init[..], &["--out", "other"]].concat()).fails(1, &["resnet8", "resnet20"]);
    assert!(!s.path("other").exists());
    s.run(&["eval", "run/config.toml"]).fails(1, &["run/config.toml"]);

    let damage: [(&str, Vec<u8>); 4] = [
        ("empty", vec![]),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("header", [&u64::MAX.to_le_bytes()[..], &good[8..]].concat()),
        ("noise", (0..1000).map(|i| (i * 7919 % 251) as u8).collect()),
    ];
    for (what, bytes) in damage {
        fs::write(s.path("run/last.safetensors"), &bytes).unwrap();
        s.run(&["eval", "run"]).fails(1, &["run/last.safetensors"]);
        s.run(&["train", "--resume", "run"]).fails(1, &["run/last.safetensors"]);
        assert_eq!(fs::read(s.path("run/last.safetensors")).unwrap(), bytes, "{what} is kept");
    }
    fs::write(s.path("run/config.toml"), "arch = 3").unwrap();
    s.run(&["train", "--resume", "run"]).fails(1, &["config.toml"]);
}

#[test]
fn impossible_output_folders() {
    let s = Sandbox::new();
    fs::write(s.path("file"), "").unwrap();
    for out in ["file", "file/run"] {
        s.run(&[&SMALL[..], &["--out", out]].concat()).fails(1, &["cannot create", out]);
    }
    assert_eq!(fs::read(s.path("file")).unwrap(), b"");
}

#[test]
fn two_runs_in_one_folder() {
    let s = Sandbox::new();
    let args = [&SMALL[..], &["--epochs", "100000", "--out", "run"]].concat();
    let mut first = s.spawn(&args);
    let began = Instant::now();
    while !s.path("run/last.safetensors").exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "no epoch ends");
        sleep(Duration::from_millis(5));
    }
    s.run(&args).fails(1, &["another process is training in run"]);
    s.run(&["train", "--resume", "run"]).fails(1, &["another process is training in run"]);
    first.kill().unwrap();
    first.wait().unwrap();
    s.run(&args).fails(1, &["run already holds a run", "--resume run"]);
}

/// For root every folder can be written, so that there is nothing to see.
#[cfg(unix)]
#[test]
fn a_read_only_output_folder() {
    use std::os::unix::fs::PermissionsExt;
    let s = Sandbox::new();
    let folder = s.path("locked");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.join("probe"), "").is_err() {
        let args = [&SMALL[..], &["--out", "locked/run"]].concat();
        s.run(&args).fails(1, &["cannot create locked/run", "ermission denied"]);
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn unknown_instruction_sets() {
    let s = Sandbox::new();
    let args = ["bench", "--seconds", "0.1"];
    let output = s.command(&args).env("RESNET_ISA", "sse9").output().unwrap();
    Finished::of(&args, output).fails(1, &["RESNET_ISA", "'sse9'", "portable"]);
}
