//! Live views of a run: `--ui full`, and TensorBoard event files.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

#[cfg(unix)]
use crate::common::Held;
use crate::common::{self, Sandbox};

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    common::small(&[&["--out", "run"][..], more].concat())
}

/// A protobuf field: its number, its bytes, and its varint value.
type Field<'a> = (u64, &'a [u8], u64);

fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = 1 + bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let (number, rest) = bytes.split_at(length);
        *bytes = rest;
        number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = if key & 7 == 0 { varint(&mut bytes) } else { 0 };
        let length = match key & 7 {
            0 => 0,
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("type {other}"),
        };
        let (content, rest) = bytes.split_at(length);
        bytes = rest;
        fields.push((key >> 3, content, value));
    }
    fields
}

fn find<'a>(message: &[Field<'a>], number: u64) -> Option<Field<'a>> {
    message.iter().find(|field| field.0 == number).copied()
}

/// The scalars of a run by tag and step, read as TensorBoard does: files in order, and a session
/// start discards all values from its step on. Also returns the number of discarded values.
fn scalars(run: &Path) -> (BTreeMap<String, BTreeMap<u64, f32>>, usize) {
    let entries = fs::read_dir(run.join("tensorboard")).expect("a folder of event files");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut scalars: BTreeMap<String, BTreeMap<u64, f32>> = BTreeMap::new();
    let mut discarded = 0;
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents."), "{name}");
        let mut bytes = &*fs::read(&path).unwrap();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let event = fields(&bytes[12..][..length]);
            bytes = &bytes[12 + length + 4..];
            let step = find(&event, 2).map_or(0, |field| field.2);
            if let Some((_, session, _)) = find(&event, 7) {
                assert_eq!(fields(session), [(1, &[][..], 1)], "a start");
                for values in scalars.values_mut() {
                    discarded += values.split_off(&step).len();
                }
            }
            let Some((_, summary, _)) = find(&event, 5) else { continue };
            for (_, value, _) in fields(summary) {
                let value = fields(value);
                let tag = String::from_utf8(find(&value, 1).unwrap().1.to_vec()).unwrap();
                let Some((_, scalar, _)) = find(&value, 2) else { continue };
                let scalar = f32::from_le_bytes(scalar.try_into().unwrap());
                let before = scalars.entry(tag.clone()).or_default().insert(step, scalar);
                assert_eq!(before, None, "{tag} has two values of step {step}");
            }
        }
    }
    (scalars, discarded)
}

/// Asserts that every epoch and batch has one value, equal to that of `metrics.jsonl`.
fn assert_complete(run: &Path, epochs: usize) {
    let (scalars, _) = scalars(run);
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let metrics: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(metrics.len(), epochs);
    for (tag, field) in [
        ("Loss/train", "train_loss"),
        ("Loss/test", "test_loss"),
        ("Accuracy/train", "train_accuracy"),
        ("Accuracy/test", "test_accuracy"),
        ("LearningRate", "learning_rate"),
        ("Throughput/images_per_second", "images_per_second"),
    ] {
        let point = |m: &Value| (m["step"].as_u64().unwrap(), m[field].as_f64().unwrap() as f32);
        assert_eq!(scalars[tag], metrics.iter().map(point).collect(), "{tag}");
    }
    let steps: Vec<u64> = scalars["Batch/loss"].keys().copied().collect();
    assert_eq!(steps, (1..=4 * epochs as u64).collect::<Vec<_>>());
    assert!(!scalars.contains_key("Loss/validation"), "there is no validation set");
}

#[test]
fn a_dashboard_needs_a_terminal() {
    let s = Sandbox::new();
    let out = s.run(&small(&["--epochs", "1", "--ui", "full", "--json"])).success();
    assert!(
        out.stderr.contains(
            "note: --ui full is not available (stderr is not a terminal): showing log lines"
        ),
        "{out:#?}"
    );
    assert!(out.stderr.contains("epoch 1: train loss "), "{out:#?}");
    assert!(!out.stderr.contains('\x1b'), "{out:#?}");
    assert_eq!(out.stdout.lines().count(), 2, "{out:#?}");
    assert!(!s.path("run/tensorboard").exists(), "not without --tensorboard");
}

#[test]
fn events_for_tensorboard_are_in_the_run() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "2", "--tensorboard"])).success();
    assert_complete(&s.path("run"), 2);
    // The run is finished: nothing is written twice.
    s.run(&["train", "--resume", "run", "--tensorboard"]).success();
    assert_complete(&s.path("run"), 2);
}

/// If the event folder cannot be created, the run continues without events.
#[test]
fn a_run_continues_if_tensorboard_fails() {
    let s = Sandbox::new();
    s.run(&small(&["--epochs", "1"])).success();
    fs::write(s.path("run/tensorboard"), b"in the way").unwrap();
    let out = s.run(&["train", "--resume", "run", "--tensorboard"]).success();
    assert!(out.stderr.contains("run/tensorboard"), "{out:#?}");
    assert!(out.stderr.contains("no more TensorBoard events are written"), "{out:#?}");
}

/// Resumed after SIGTERM, which saves, and after SIGKILL, which loses the steps since the last
/// checkpoint.
#[cfg(unix)]
#[test]
fn events_are_complete_after_interruptions() {
    let s = Sandbox::new();
    let resume = ["train", "--resume", "run", "--tensorboard"];
    let train = small(&["--epochs", "3", "--tensorboard"]);
    for (args, signal) in [(&train[..], "-TERM"), (&resume, "-KILL")] {
        let held = Held::at_the_end_of_an_epoch(&s, args);
        held.signal(signal);
        assert_ne!(held.finish().code, Some(0));
    }
    s.run(&resume).success();
    assert_complete(&s.path("run"), 3);
    let (_, discarded) = scalars(&s.path("run"));
    assert!(discarded > 0, "values of the second epoch, which was killed before its checkpoint");
    assert_eq!(fs::read_dir(s.path("run/tensorboard")).unwrap().count(), 3);
}
