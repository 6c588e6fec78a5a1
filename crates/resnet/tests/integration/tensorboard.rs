//! A run's event files, as TensorBoard itself reads them. Where `RESNET_PYTHON` (or else `python3`)
//! has no tensorboard, the test says so and is skipped.

use std::{fs, sync::atomic::Ordering::Relaxed};

use crate::common::{
    python, run,
    small_run::{STEPS, config, dataset},
};
use resnet::{
    Cpu,
    run::{CONFIG, LAST, METRICS, RunFolder, TENSORBOARD},
    train::{Event, Outcome, StopFlag, TensorBoard, train},
};
use serde_json::Value;

const SCRIPT: &str = "tensorboard_events.py";

/// Trains until `stop_at` is true for an event.
fn train_until(folder: &RunFolder, mut stop_at: impl FnMut(&Event) -> bool) -> Outcome {
    let stop = StopFlag::new(0);
    let cpu = Cpu::new(2).unwrap();
    train(folder, dataset(), &cpu, &stop, &mut |event| {
        if stop_at(event) {
            stop.store(2, Relaxed);
        }
    })
    .unwrap()
}

/// What `metrics.jsonl` has of a field, as points of 32-bit values.
fn points(metrics: &[Value], field: &str) -> Value {
    let point = |m: &Value| (m["step"].clone(), m[field].as_f64().unwrap() as f32);
    serde_json::to_value(metrics.iter().map(point).collect::<Vec<_>>()).unwrap()
}

/// It may have gone back to an earlier checkpoint, and its last one stays.
#[test]
fn a_run_that_stops_before_a_batch_has_no_events() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    let folder = RunFolder::create(&path, &config()).unwrap();
    let mut board = TensorBoard::new(&folder);
    let outcome = train_until(&folder, |event| {
        board.write(event).unwrap();
        matches!(event, Event::Started(_))
    });
    assert_eq!(outcome, Outcome::Interrupted(2));
    assert!(!path.join(TENSORBOARD).exists());
}

#[test]
fn tensorboard_reads_a_run_that_was_killed_and_continued() {
    let Some(python) = python("tensorboard") else { return };
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    let (last, after_5) = (path.join(LAST), path.join("after-5"));

    // The first epoch, and a step, go unwatched.
    let at_step = |event: &Event, step| matches!(event, Event::Batch(batch) if batch.step == step);
    let folder = RunFolder::create(&path, &config()).unwrap();
    assert_eq!(train_until(&folder, |event| at_step(event, 5)), Outcome::Interrupted(2));
    drop(folder);
    // A kill in the third epoch loses what follows the checkpoint.
    fs::copy(&last, &after_5).unwrap();
    let folder = RunFolder::resume(&path).unwrap();
    let mut board = TensorBoard::new(&folder);
    train_until(&folder, |event| {
        board.write(event).unwrap();
        at_step(event, 10)
    });
    drop(folder);
    fs::rename(&after_5, &last).unwrap();

    let folder = RunFolder::resume(&path).unwrap();
    let mut board = TensorBoard::new(&folder);
    let mut batches = Vec::new();
    let outcome = train_until(&folder, |event| {
        board.write(event).unwrap();
        if let Event::Batch(batch) = event {
            batches.push(*batch);
        }
        false
    });
    assert!(matches!(outcome, Outcome::Finished(_)));
    assert_eq!(fs::read_dir(path.join(TENSORBOARD)).unwrap().count(), 2);

    let read = run(python, SCRIPT, &[&path.join(TENSORBOARD)], &Value::Null);
    let metrics: Vec<Value> = fs::read_to_string(path.join(METRICS))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let fields = [
        ("Loss/train", "train_loss"),
        ("Loss/validation", "validation_loss"),
        ("Loss/test", "test_loss"),
        ("Accuracy/train", "train_accuracy"),
        ("Accuracy/validation", "validation_accuracy"),
        ("Accuracy/test", "test_accuracy"),
        ("LearningRate", "learning_rate"),
        ("Throughput/images_per_second", "images_per_second"),
    ];
    let scalars = &read["scalars"];
    for (tag, field) in fields {
        assert_eq!(scalars[tag], points(&metrics, field), "{tag}");
    }
    assert_eq!(metrics.len(), 3);
    for (tag, value) in [
        ("Batch/loss", batches.iter().map(|b| b.batch_loss as f32).collect::<Vec<_>>()),
        ("Batch/accuracy", batches.iter().map(|b| b.batch_accuracy as f32).collect()),
        ("Batch/learning_rate", batches.iter().map(|b| b.learning_rate).collect()),
    ] {
        let points: Vec<_> = (6..=STEPS).zip(value).collect();
        assert_eq!(scalars[tag], serde_json::to_value(points).unwrap(), "{tag}");
    }
    assert_eq!(scalars.as_object().unwrap().len(), fields.len() + 3);

    let toml = fs::read_to_string(path.join(CONFIG)).unwrap();
    let code: Vec<_> = read["config"].as_str().unwrap().lines().map(|l| &l[4..]).collect();
    assert_eq!(code, toml.lines().collect::<Vec<_>>());
    let settings = &read["settings"];
    assert_eq!(settings["arch"], "resnet8");
    assert_eq!((&settings["batch_size"], &settings["weight_decay"]), (&12.0.into(), &2e-4.into()));
    assert_eq!(settings.as_object().unwrap().len(), 12);
}
