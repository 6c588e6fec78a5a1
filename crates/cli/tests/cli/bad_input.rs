//! Missing, damaged and wrong files and folders: one clear error, and no partial output.

use std::{fs, process::Command};

use resnet::model_file::{Model, SaveFormat};
use resnet_formats::Tensor;

#[cfg(unix)]
use crate::common::Held;
use crate::common::{Finished, Sandbox, write_photos};

const SMALL: [&str; 8] =
    ["train", "synthetic", "--arch", "resnet8", "--limit-train", "64", "--limit-test", "10"];

#[test]
fn missing_models_and_runs() {
    let s = Sandbox::new();
    s.run(&["eval", "nowhere"]).fails(1, &["nowhere"]);
    s.run(&["summary", "nowhere"]).fails(2, &["'nowhere'", "no file of this name"]);
    s.run(&["summary", "resnet8", "--weights", "ema"]).fails(2, &["--weights is for model files"]);
    s.run(&["train", "--resume", "nowhere"]).fails(1, &["nowhere does not exist", "--resume"]);
    s.run(&["train", "--resume", "last"]).fails(1, &["no run in runs", "the folder of a run"]);
    fs::create_dir(s.path("empty")).unwrap();
    s.run(&["train", "--resume", "empty"]).fails(1, &["empty", "config.toml"]);
    s.run(&["eval", "empty"]).fails(1, &["empty"]);
    s.run(&[&SMALL[..], &["--init", "nowhere", "--out", "run"]].concat()).fails(1, &["nowhere"]);
    assert!(!s.path("run").exists(), "a run that cannot start leaves no folder");
}

#[test]
fn truncated_and_wrong_batch_files() {
    let s = Sandbox::new();
    let folder = s.path("data/cifar-10-batches-bin");
    fs::create_dir_all(&folder).unwrap();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"] {
        fs::write(folder.join(name).with_extension("bin"), vec![0; 30_730_000]).unwrap();
    }
    fs::write(folder.join("test_batch.bin"), vec![0; 30_730_000]).unwrap();
    let train = ["train", "cifar10", "--arch", "resnet8", "--out", "run"];
    // The right size, but the wrong content.
    let digests = ["expected MD5 5dd7e06a14cb22eb9f671a540d1b7c25, got ", "data fetch cifar10"];
    s.run(&train).fails(1, &[&["data_batch_1.bin"], &digests[..]].concat());
    let limited = [&train[..], &["--limit-train", "1"]].concat();
    s.run(&limited).fails(1, &digests);
    fs::write(folder.join("data_batch_1.bin"), vec![0; 30_729_999]).unwrap();
    s.run(&train).fails(1, &["data_batch_1.bin", "30730000", "30729999", "data fetch cifar10"]);
    s.run(&["data", "verify", "cifar10"]).fails(1, &["6 of the 6", "data fetch cifar10"]);
    assert!(!s.path("run").exists());
}

#[test]
fn damaged_and_mismatched_checkpoints() {
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
        let instead = "--resume run/best.safetensors";
        s.run(&["train", "--resume", "run"]).fails(1, &["run/last.safetensors", instead]);
        assert_eq!(fs::read(s.path("run/last.safetensors")).unwrap(), bytes, "{what} is kept");
    }
    for (text, complaint) in [("arch = 3", "line 1"), ("arch = 'resnet8'\nseed = [", "line 2")] {
        fs::write(s.path("run/config.toml"), text).unwrap();
        s.run(&["train", "--resume", "run"]).fails(1, &["run/config.toml: ", complaint]);
    }
}

#[test]
fn weights_that_are_no_numbers() {
    let s = Sandbox::new();
    let mut model = Model::demo();
    let mut state = model.network.state_dict();
    let (_, bias) = state.iter_mut().find(|(name, _)| name == "linear.bias").unwrap();
    *bias = Tensor::f32(&[10], vec![f32::NAN; 10]);
    model.network.load_state_dict(&state).unwrap();
    model.save(&*s.path("nan.safetensors"), SaveFormat::Safetensors).unwrap();
    write_photos(&s, &["cat"], 2);
    let note = "note: nan.safetensors: NaN or infinite values in 'linear.bias'";
    let eval = ["eval", "nan.safetensors", "synthetic", "--limit-test", "4", "--json"];
    for args in [&["predict", "nan.safetensors", "photos"][..], &eval] {
        let failed = s.run(args).fails_behind_notes(1, &["output is NaN or infinite"]);
        assert!(failed.stderr.contains(note), "{failed:#?}");
    }
    let with = ["--with", "nan.safetensors"];
    let failed = s.run(&[&["eval", "demo"][..], &eval[2..], &with].concat()).fails_behind_notes(
        1,
        &["nan.safetensors: the network's output is NaN or infinite for 4 of 4 images"],
    );
    assert!(failed.stdout.contains("\"ensemble\""), "{failed:#?}");
    let refused = s.run(&["serve", "nan.safetensors", "--port", "0", "--quiet"]);
    refused.fails_behind_notes(1, &["nan.safetensors: its weights are NaN or infinite"]);
    for args in [&["summary", "nan.safetensors"][..], &["convert", "nan.safetensors", "x.pt"]] {
        let done = s.run(args).success();
        assert!(done.stderr.contains(note), "{done:#?}");
    }
}

#[test]
fn features_that_are_no_numbers_are_similar_to_nothing() {
    let s = Sandbox::new();
    let mut model = Model::demo();
    let mut state = model.network.state_dict();
    let (_, scale) = state.iter_mut().find(|(name, _)| name == "bn1.weight").unwrap();
    *scale = Tensor::f32(&[16], vec![f32::NAN; 16]);
    model.network.load_state_dict(&state).unwrap();
    model.save(&*s.path("nan.safetensors"), SaveFormat::Safetensors).unwrap();
    write_photos(&s, &["cat"], 3);
    let similar = s.run(&["similar", "nan.safetensors", "photos", "photos/cat/00.ppm"]);
    similar.fails_behind_notes(1, &["00.ppm: the network's features are NaN or infinite"]);
}

#[test]
fn impossible_output_folders() {
    let s = Sandbox::new();
    fs::write(s.path("file"), "").unwrap();
    for out in ["file", "file/run"] {
        s.run(&[&SMALL[..], &["--out", out]].concat()).fails(1, &["cannot create", out]);
        s.run(&["train", "cifar10", "--out", out]).fails(1, &["cannot create", out]);
    }
    assert_eq!(fs::read(s.path("file")).unwrap(), b"");
}

#[test]
fn a_network_that_does_not_fit_leaves_no_folder() {
    let s = Sandbox::new();
    s.run(&[&SMALL[..], &["--epochs", "1", "--split", "4", "--out", "a"]].concat()).success();
    // The weights are read after the folder is created.
    let init = ["train", "synthetic", "--arch", "resnet14", "--init", "a", "--out", "deep/b"];
    s.run(&init).fails(1, &["a/best.safetensors is a resnet8, not a resnet14", "--arch resnet8"]);
    assert!(!s.path("deep").exists());
}

/// The shell limits the process to less memory than the batch needs.
#[cfg(target_os = "linux")]
#[test]
fn a_batch_that_does_not_fit_into_memory() {
    let s = Sandbox::new();
    let resnet = env!("CARGO_BIN_EXE_resnet");
    for args in [
        "train synthetic --batch-size 4096 --out deep/run --threads 1",
        "bench --batch 4096 --threads 1",
    ] {
        let script = format!("ulimit -v 1000000; exec '{resnet}' {args}");
        let shell = Command::new("sh").args(["-c", &script]).current_dir(s.path(".")).output();
        Finished::of(&[args], shell.unwrap())
            .fails(1, &["of memory, and", "are available", "smaller batch"]);
    }
    assert!(!s.path("deep").exists());
}

/// Batches of photos that were asked for stay as they are, next to the cache of photos too.
#[cfg(target_os = "linux")]
#[test]
fn a_batch_of_photos_that_does_not_fit_into_memory() {
    let s = Sandbox::new();
    write_photos(&s, &["a", "b"], 5);
    let resnet = env!("CARGO_BIN_EXE_resnet");
    let batch = "--arch resnet18 --init none --image-size 1024 --dtype fp32 --batch-size 8 \
                 --device cpu --threads 1";
    for verb in ["train photos --out deep/run", "lr-find photos"] {
        let args = format!("{verb} {batch}");
        let script = format!("ulimit -v 1000000; exec '{resnet}' {args}");
        let shell = Command::new("sh").args(["-c", &script]).current_dir(s.path(".")).output();
        Finished::of(&[&args], shell.unwrap())
            .fails_behind_notes(1, &["there is ", "memory ", " resnet18", "free some"]);
    }
    assert!(!s.path("deep").exists());
}

/// A net of an experiment on photos for which there is no memory at all is refused before the first run.
#[cfg(target_os = "linux")]
#[test]
fn a_net_of_an_experiment_that_does_not_fit_into_memory() {
    let s = Sandbox::new();
    write_photos(&s, &["a", "b"], 5);
    let resnet = env!("CARGO_BIN_EXE_resnet");
    let args = "experiment depth photos --nets resnet110 --image-size 1024 --dtype fp32 --epochs 1 --device cpu \
                --out deep --threads 1";
    let script = format!("ulimit -v 1000000; exec '{resnet}' {args}");
    let shell = Command::new("sh").args(["-c", &script]).current_dir(s.path(".")).output();
    Finished::of(&[args], shell.unwrap())
        .fails_behind_notes(1, &["there is no memory to train resnet110", "leave it out"]);
    assert!(!s.path("deep").exists());
}

/// A folder of the user is not changed.
#[test]
fn a_folder_with_files_of_a_run() {
    let s = Sandbox::new();
    fs::create_dir(s.path("mine")).unwrap();
    fs::write(s.path("mine/config.toml"), "[mine]").unwrap();
    for data in ["synthetic", "cifar10"] {
        s.run(&["train", data, "--out", "mine"]).fails(1, &["mine already has a run"]);
    }
    assert_eq!(fs::read_dir(s.path("mine")).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn two_runs_in_one_folder() {
    let s = Sandbox::new();
    let args = [&SMALL[..], &["--epochs", "2", "--out", "run"]].concat();
    let first = Held::at_the_end_of_an_epoch(&s, &args);
    s.run(&args).fails(1, &["another process is training in run"]);
    s.run(&["train", "--resume", "run"]).fails(1, &["another process is training in run"]);
    first.signal("-KILL");
    first.end();
    s.run(&args).fails(1, &["run already has a run", "--resume run"]);
}

/// Not even root can create folders there.
#[cfg(target_os = "linux")]
#[test]
fn an_output_folder_that_cannot_be_made() {
    let s = Sandbox::new();
    // Before the data set is loaded, which is missing.
    for data in ["synthetic", "cifar10"] {
        s.run(&["train", data, "--out", "/proc/run"]).fails(1, &["cannot create /proc/run"]);
    }
}

#[test]
fn unknown_instruction_sets() {
    let s = Sandbox::new();
    let args = ["bench", "--seconds", "0.1"];
    let output = s.command(&args).env("RESNET_ISA", "sse9").output().unwrap();
    Finished::of(&args, output).fails(1, &["RESNET_ISA", "'sse9'", "portable"]);
}
