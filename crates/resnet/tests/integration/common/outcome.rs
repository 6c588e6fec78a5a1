//! Runs to their end, and what they end with.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use resnet::{
    Cpu,
    data::Dataset,
    model_file::key,
    run::{BEST, LAST, METRICS, RunFolder},
    train::{Event, Log, Outcome, StopFlag, train},
};
use resnet_formats::{
    Data, NamedTensors,
    safetensors::{self, Metadata},
};
use serde_json::Value;

use crate::common::small_run::{config, dataset};

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

pub(crate) type Tensors = Vec<(String, Vec<usize>, Vec<u64>)>;

pub(crate) fn result(folder: &Path) -> Result {
    let text = fs::read_to_string(folder.join(METRICS)).unwrap();
    let metrics = text.lines().map(|line| without_times(serde_json::from_str(line).unwrap()));
    Result {
        last: checkpoint(&folder.join(LAST)),
        best: checkpoint(&folder.join(BEST)),
        metrics: metrics.collect(),
    }
}

pub(crate) fn checkpoint(path: &Path) -> (Tensors, Metadata) {
    let (tensors, mut metadata) = safetensors::read(path).unwrap();
    for key in [key::PROGRESS, key::METRICS] {
        let value = without_times(serde_json::from_str(&metadata[key]).unwrap());
        metadata.insert(key.into(), value.to_string());
    }
    (bits(tensors), metadata)
}

pub(crate) fn bits(tensors: NamedTensors) -> Tensors {
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

pub(crate) fn uninterrupted(folder: PathBuf) -> Result {
    let run_folder = RunFolder::create(&folder, &config()).unwrap();
    assert!(matches!(run(&run_folder, 2, |_| false), Outcome::Finished(m) if m.epoch == 3));
    result(&folder)
}

/// Trains to an error.
pub(crate) fn failure(folder: &RunFolder, data: Dataset) -> String {
    let cpu = Cpu::new(2).unwrap();
    train(folder, data, &cpu, &StopFlag::new(0), &mut |_| {}).unwrap_err().to_string()
}
