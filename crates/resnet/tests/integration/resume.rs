//! Resuming is bit-exact: a run that is interrupted or killed, then resumed, ends with the same
//! tensors and metrics (except times) as an uninterrupted one. So does a run with another number of
//! threads.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use crate::common::small_run::{STEPS, config, dataset};
use resnet::{
    Cpu, Dtype,
    config::TrainConfig,
    data::Dataset,
    model_file::key,
    run::{BEST, LAST, LOG, METRICS, RunFolder, load_model},
    train::{Event, Log, Outcome, StopFlag, train},
};
use resnet_formats::{
    Data, NamedTensors,
    safetensors::{self, Metadata},
};
use serde_json::Value;

/// Trains, and stops once `stop_at` is true for an event.
pub(crate) fn run(folder: &RunFolder, threads: usize, stop_at: impl Fn(&Event) -> bool) -> Outcome {
    let stop = StopFlag::new(0);
    let mut log = Log::open(folder.path()).unwrap();
    let cpu = Cpu::new(threads).unwrap();
    train(folder, dataset(), &cpu, &stop, &mut |event| {
        log.write(event);
        if stop_at(event) {
            stop.store(2, Relaxed);
        }
    })
    .unwrap()
}

/// What must be equal: both checkpoints and the metrics, without times.
#[derive(Debug, PartialEq)]
pub(crate) struct Result {
    pub(crate) last: (Tensors, Metadata),
    best: (Tensors, Metadata),
    pub(crate) metrics: Vec<Value>,
}

impl Result {
    /// The same of a run whose recipe says the same in other words.
    pub(crate) fn without_recipe(mut self) -> Result {
        for (_, metadata) in [&mut self.last, &mut self.best] {
            metadata.remove(key::RECIPE);
        }
        self
    }
}

type Tensors = Vec<(String, Vec<usize>, Vec<u64>)>;

pub(crate) fn result(folder: &Path) -> Result {
    let text = fs::read_to_string(folder.join(METRICS)).unwrap();
    let metrics = text.lines().map(|line| without_times(serde_json::from_str(line).unwrap()));
    Result {
        last: checkpoint(&folder.join(LAST)),
        best: checkpoint(&folder.join(BEST)),
        metrics: metrics.collect(),
    }
}

fn checkpoint(path: &Path) -> (Tensors, Metadata) {
    let (tensors, mut metadata) = safetensors::read(path).unwrap();
    for key in [key::PROGRESS, key::METRICS] {
        let value = without_times(serde_json::from_str(&metadata[key]).unwrap());
        metadata.insert(key.into(), value.to_string());
    }
    (bits(tensors), metadata)
}

fn bits(tensors: NamedTensors) -> Tensors {
    let bits = |data| match data {
        Data::F32(values) => values.iter().map(|v: &f32| u64::from(v.to_bits())).collect(),
        Data::I64(values) => values.iter().map(|&v| v as u64).collect(),
    };
    tensors.into_iter().map(|(name, tensor)| (name, tensor.shape, bits(tensor.data))).collect()
}

fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.retain(|name, _| {
                !["seconds", "images_per_second", "communication_seconds", "waited"]
                    .contains(&name.as_str())
            });
        }
        Value::Array(values) => values.iter_mut().for_each(|v| *v = without_times(v.take())),
        _ => {}
    }
    value
}

pub(crate) fn assert_same(found: &Result, expected: &Result, what: &str) {
    assert_eq!(found.metrics, expected.metrics, "{what}");
    for (found, expected) in [(&found.last, &expected.last), (&found.best, &expected.best)] {
        assert_eq!(found.1, expected.1, "{what}");
        for (a, b) in found.0.iter().zip(&expected.0) {
            assert!(a == b, "{what}: {} differs", a.0);
        }
        assert_eq!(found.0.len(), expected.0.len(), "{what}");
    }
}

fn uninterrupted(folder: PathBuf) -> Result {
    let run_folder = RunFolder::create(&folder, &config()).unwrap();
    assert!(matches!(run(&run_folder, 2, |_| false), Outcome::Finished(m) if m.epoch == 3));
    result(&folder)
}

#[test]
fn an_interrupted_run_resumes_bit_exactly() {
    let runs = tempfile::tempdir().unwrap();
    let expected = uninterrupted(runs.path().join("whole"));
    assert_eq!(expected.metrics.len(), 3);

    // In the first batch, mid-epoch, at the end of an epoch, at its beginning, in the last batch.
    for step in [1, 3, 4, 5, 12] {
        let folder = runs.path().join(format!("stopped-{step}"));
        let first = RunFolder::create(&folder, &config()).unwrap();
        let at_step = |event: &Event| matches!(event, Event::Batch(b) if b.step == step);
        assert_eq!(run(&first, 2, at_step), Outcome::Interrupted(2));
        drop(first);
        let second = RunFolder::resume(&folder).unwrap();
        assert!(matches!(run(&second, 2, |_| false), Outcome::Finished(_)));
        assert_same(&result(&folder), &expected, &format!("stopped after step {step}"));
    }

    // After every single batch, and in every evaluation.
    let folder = runs.path().join("always");
    drop(RunFolder::create(&folder, &config()).unwrap());
    let mut interruptions = 0u64;
    while let Outcome::Interrupted(_) = run(&RunFolder::resume(&folder).unwrap(), 2, |event| {
        matches!(event, Event::Batch(_))
            // Every other evaluation is let through: one that is stopped begins again.
            || matches!(event, Event::Evaluating { .. }) && interruptions.is_multiple_of(2)
    }) {
        interruptions += 1;
        assert!(interruptions < 100, "resuming makes no progress");
    }
    assert!(interruptions >= STEPS, "{interruptions}");
    assert_same(&result(&folder), &expected, "stopped always");
}

/// PyTorch's file of an epoch is a checkpoint as good as ours.
#[test]
fn a_run_resumes_bit_exactly_from_pytorchs_file() {
    let runs = tempfile::tempdir().unwrap();
    let expected = uninterrupted(runs.path().join("whole"));
    let folder = runs.path().join("run");
    let (all, first) = (folder.join("resnet8_synthetic_all.tar"), folder.join("first.tar"));
    let config = TrainConfig { save_torch: true, ..config() };
    // What the first epoch left, with the best checkpoint of that time.
    let keep_first = |event: &Event| {
        if !first.exists() && matches!(event, Event::Saved { path } if *path == all) {
            fs::copy(&all, &first).unwrap();
        }
        false
    };
    run(&RunFolder::create(&folder, &config).unwrap(), 2, keep_first);
    assert_same(&result(&folder), &expected, "with PyTorch's files");
    for name in [LAST, BEST, METRICS] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    let again = RunFolder::resume(&first).unwrap();
    let epochs = std::cell::RefCell::new(Vec::new());
    run(&again, 2, |event| {
        if let Event::EpochEnd { metrics, .. } = event {
            epochs.borrow_mut().push(metrics.epoch);
        }
        false
    });
    assert_eq!(epochs.into_inner(), [2, 3]);
    assert_eq!(checkpoint(&folder.join(LAST)), expected.last);
}

#[test]
fn a_run_in_bf16_resumes_bit_exactly() {
    let runs = tempfile::tempdir().unwrap();
    let mut config = config();
    config.recipe.dtype = Dtype::Bf16;
    let whole = runs.path().join("whole");
    run(&RunFolder::create(&whole, &config).unwrap(), 2, |_| false);
    let expected = result(&whole);
    for (step, threads) in [(1, 7), (6, 1)] {
        let folder = runs.path().join(format!("stopped-{step}"));
        let first = RunFolder::create(&folder, &config).unwrap();
        let at_step = |event: &Event| matches!(event, Event::Batch(b) if b.step == step);
        assert_eq!(run(&first, 2, at_step), Outcome::Interrupted(2));
        drop(first);
        let second = RunFolder::resume(&folder).unwrap();
        assert_eq!(second.config().recipe.dtype, Dtype::Bf16);
        run(&second, threads, |_| false);
        assert_same(&result(&folder), &expected, &format!("stopped after step {step}"));
    }
    assert!(fs::read_to_string(whole.join(LOG)).unwrap().contains("; bf16: "));
    let fp32 = uninterrupted(runs.path().join("fp32"));
    assert_ne!(fp32.metrics, expected.metrics, "the dtype makes no difference");
}

#[test]
fn a_killed_run_resumes_bit_exactly() {
    let runs = tempfile::tempdir().unwrap();
    let whole = runs.path().join("whole");
    let run_folder = RunFolder::create(&whole, &config()).unwrap();
    // The files as they are at an event are what a kill at that instant leaves behind.
    let killed = std::cell::RefCell::new(Vec::new());
    run(&run_folder, 2, |event| {
        let interesting = match event {
            Event::Batch(b) => b.step == 6,
            Event::Evaluating { done, images } => done == images,
            _ => true,
        };
        if interesting {
            let copy = runs.path().join(format!("killed-{}", killed.borrow().len()));
            fs::create_dir(&copy).unwrap();
            for entry in fs::read_dir(&whole).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            fs::write(copy.join(".unfinished-Kx3"), b"half a checkpoint").unwrap();
            killed.borrow_mut().push((copy, format!("{event:?}")));
        }
        false
    });
    let expected = result(&whole);
    let killed = killed.into_inner();
    assert!(killed.len() > 12, "{}", killed.len());
    for (folder, event) in killed {
        run(&RunFolder::resume(&folder).unwrap(), 2, |_| false);
        assert_same(&result(&folder), &expected, &format!("killed at {event}"));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{left:?}");
    }
}

#[test]
fn threads_change_nothing() {
    let runs = tempfile::tempdir().unwrap();
    let expected = uninterrupted(runs.path().join("2"));
    for threads in [1, 7] {
        let folder = runs.path().join(threads.to_string());
        run(&RunFolder::create(&folder, &config()).unwrap(), threads, |_| false);
        assert_same(&result(&folder), &expected, &format!("{threads} threads"));
    }
}

#[test]
fn a_run_is_a_model() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    uninterrupted(folder.clone());
    let model = load_model(&folder, &None.into()).unwrap();
    assert_eq!((model.path, model.image_size), (folder.join(BEST), 32));
    assert_eq!(model.classes, Some(config().data.classes));
    assert_eq!(model.normalisation, Some(config().data.normalisation));
    let (tensors, _) = safetensors::read(&folder.join(BEST)).unwrap();
    let saved = bits(tensors);
    for tensor in bits(model.network.state_dict()) {
        assert!(saved.contains(&tensor), "{}", tensor.0);
    }
    let other = load_model(&folder, &"resnet20".parse().ok().into()).unwrap_err();
    assert!(other.to_string().contains("is a resnet8, not a resnet20"), "{other}");
}

#[test]
fn a_run_may_start_from_another_ones_weights() {
    let runs = tempfile::tempdir().unwrap();
    let first = runs.path().join("first");
    uninterrupted(first.clone());
    let mut config = config();
    config.init_from = Some(first.join(LAST));
    config.recipe.lr = 0.0;
    *config.recipe.optimizer.weight_decay_mut() = 0.0;
    let folder = runs.path().join("second");
    run(&RunFolder::create(&folder, &config).unwrap(), 2, |_| false);
    let weights = |path: &Path| {
        let (tensors, _) = safetensors::read(path).unwrap();
        let weight = |name: &str| name.ends_with("weight") && !name.starts_with("optimizer");
        bits(tensors).into_iter().filter(|(name, ..)| weight(name)).collect::<Vec<_>>()
    };
    assert_eq!(weights(&folder.join(LAST)), weights(&first.join(LAST)));

    // Once it has begun, it does without them.
    fs::remove_dir_all(&first).unwrap();
    run(&RunFolder::resume(&folder).unwrap(), 2, |_| false);
}

#[test]
fn initial_weights_must_be_finite() {
    let runs = tempfile::tempdir().unwrap();
    let first = runs.path().join("first");
    uninterrupted(first.clone());
    let (mut tensors, metadata) = safetensors::read(&first.join(LAST)).unwrap();
    let weight = tensors.iter_mut().find(|(name, _)| name == "layer1.0.conv1.weight").unwrap();
    match &mut weight.1.data {
        Data::F32(values) => values[7] = f32::NAN,
        Data::I64(_) => panic!("a weight"),
    }
    let file = runs.path().join("nan.safetensors");
    safetensors::write(&file, &tensors, &metadata).unwrap();
    let config = TrainConfig { init_from: Some(file), ..config() };
    let folder = runs.path().join("second");
    let error = failure(&RunFolder::create(&folder, &config).unwrap(), dataset());
    let start = "nan.safetensors: tensor 'layer1.0.conv1.weight' has values that are not finite";
    assert!(error.contains(start), "{error}");
    assert!(!folder.exists());
}

/// Trains to an error.
fn failure(folder: &RunFolder, data: Dataset) -> String {
    let cpu = Cpu::new(2).unwrap();
    train(folder, data, &cpu, &StopFlag::new(0), &mut |_| {}).unwrap_err().to_string()
}

#[test]
fn a_run_that_cannot_begin_leaves_no_folder() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("deep/run");
    let mut other = config();
    other.init_from = Some(runs.path().join("no-such.safetensors"));
    let run_folder = RunFolder::create(&folder, &other).unwrap();
    let error = failure(&run_folder, dataset());
    assert!(error.contains("no-such.safetensors cannot be read"), "{error}");
    assert!(!runs.path().join("deep").exists());

    let run_folder = RunFolder::create(&folder, &config()).unwrap();
    let mut fewer = dataset();
    fewer.train.limit(30);
    let error = failure(&run_folder, fewer);
    assert!(error.contains("26 training images, but the configuration has 40"), "{error}");
    assert!(!runs.path().join("deep").exists());
}

#[test]
fn a_damaged_checkpoint_names_one_to_take_instead() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let expected = uninterrupted(folder.clone());
    let good = fs::read(folder.join(LAST)).unwrap();
    fs::write(folder.join(LAST), &good[..good.len() / 2]).unwrap();
    let error = failure(&RunFolder::resume(&folder).unwrap(), dataset());
    let instead = format!("--resume {}", folder.join(BEST).display());
    assert!(error.contains("truncated") && error.ends_with(&instead), "{error}");
    run(&RunFolder::resume(&folder.join(BEST)).unwrap(), 2, |_| false);
    assert_same(&result(&folder), &expected, "from the best");

    fs::write(folder.join(BEST), &good[..9]).unwrap();
    let error = failure(&RunFolder::resume(&folder.join(BEST)).unwrap(), dataset());
    assert!(error.ends_with("another checkpoint"), "{error}");
}

#[test]
fn a_checkpoint_without_the_optimizers_state_is_refused() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    uninterrupted(folder.clone());
    let last = folder.join(LAST);
    let (mut tensors, metadata) = safetensors::read(&last).unwrap();
    tensors.retain(|(name, _)| !name.starts_with("optimizer."));
    safetensors::write(&last, &tensors, &metadata).unwrap();
    let error = failure(&RunFolder::resume(&folder).unwrap(), dataset());
    assert!(error.contains("not the state of their optimizer"), "{error}");
    assert!(error.ends_with(&format!("--init {}", last.display())), "{error}");
}

#[test]
fn another_instruction_set_is_warned_of() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    uninterrupted(folder.clone());
    let warnings = || {
        let mut lines = Vec::new();
        let (run, cpu) = (RunFolder::resume(&folder).unwrap(), Cpu::new(1).unwrap());
        train(&run, dataset(), &cpu, &StopFlag::new(0), &mut |event| {
            lines.extend(event.log_line().filter(|line| line.starts_with("warning")));
        })
        .unwrap();
        lines
    };
    assert!(warnings().is_empty());
    let (tensors, mut metadata) = safetensors::read(&folder.join(LAST)).unwrap();
    metadata.insert(key::ISA.into(), "abacus".into());
    safetensors::write(&folder.join(LAST), &tensors, &metadata).unwrap();
    assert!(warnings()[0].contains("used abacus so far"), "{:?}", warnings());
}

#[test]
fn a_diverging_run_stops_and_keeps_its_last_good_checkpoint() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let mut config = config();
    config.recipe.lr = 1e30;
    // One good epoch at a rate of zero, then a step too far.
    config.recipe.warm_up = Some(resnet::schedule::WarmUp { steps: 4, factor: 0.0 });
    let run_folder = RunFolder::create(&folder, &config).unwrap();
    let message = failure(&run_folder, dataset());
    assert!(message.contains("diverged in epoch 2") && message.contains("--lr"), "{message}");
    let kept = format!("--init {}", folder.join(LAST).display());
    assert!(message.ends_with(&kept), "{message}");
    let (tensors, metadata) = safetensors::read(&folder.join(LAST)).unwrap();
    assert!(metadata[key::PROGRESS].contains("\"epoch\":2,\"batch\":0"), "{metadata:?}");
    for (name, tensor) in tensors {
        assert!(tensor.as_f32().is_none_or(|v| v.iter().all(|v| v.is_finite())), "{name}");
    }

    // Nothing is kept where nothing was good.
    config.recipe.warm_up = None;
    let run_folder = RunFolder::create(&runs.path().join("at once"), &config).unwrap();
    let message = failure(&run_folder, dataset());
    assert!(message.contains("epoch 1") && message.ends_with("(--batch-size)"), "{message}");
    assert!(!message.contains("--weight-decay"), "{message}");

    // The rate is not always at fault.
    config.recipe.lr = 0.05;
    *config.recipe.optimizer.weight_decay_mut() = 1e30;
    let run_folder = RunFolder::create(&runs.path().join("decayed"), &config).unwrap();
    let message = failure(&run_folder, dataset());
    let advice = "with a weight decay far below 1e30 (--weight-decay), a learning rate below 0.05";
    assert!(message.contains(advice), "{message}");
}
