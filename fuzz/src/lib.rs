//! What the targets share: the memory bound of file readers, and networks from files.

use std::{fs, path::Path};

use resnet::{
    Cpu, Dtype, Network,
    engine::{EvalPlan, Input},
    model_file::{LoadOptions, Model, SaveFormat, Weights},
};
use tempfile::TempDir;

/// Runs a reader on a file of `file` bytes, which count as allocated.
///
/// # Panics
/// If more than eight times the file and 16 MiB is allocated at any time.
pub fn bounded<T>(file: usize, read: impl FnOnce() -> T) -> T {
    bounded_by(8, file, read)
}

/// The same, for `times` times the file.
///
/// # Panics
/// If more than `times` times the file and 16 MiB is allocated at any time.
pub fn bounded_by<T>(times: u64, file: usize, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let count = allocation_counter::measure(|| result = Some(read()));
    let most = count.bytes_max + file as u64;
    assert!(most <= times * file as u64 + (16 << 20), "{most} bytes for a file of {file}");
    result.expect("it ran")
}

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a temporary folder");
}

/// Loads a model from files, within `times` times their size, as `resnet predict` does. A network is
/// run, converted, and read again.
///
/// `path` is one of the files, or empty for their folder. The length of the files chooses the weights.
///
/// # Panics
/// If the bound is not kept, or the network is another one after its conversion.
pub fn network(times: u64, files: &[(&str, &[u8])], path: &str) {
    FOLDER.with(|folder| {
        let folder = folder.path();
        let at = |name: &str| folder.join(name);
        files.iter().for_each(|(name, bytes)| fs::write(at(name), bytes).expect("written"));
        let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let weights = match size % 4 {
            0 | 1 => Weights::Usual,
            2 => Weights::Average,
            _ => Weights::Key("net".to_owned()),
        };
        let options = LoadOptions { weights, ..LoadOptions::default() };
        match bounded_by(times, size, || Model::load_with(&at(path), &options)) {
            Ok(model) => use_of(&model, folder),
            Err(error) => drop(error.to_string()),
        }
        files.iter().for_each(|(name, _)| fs::remove_file(at(name)).expect("removed"));
    });
}

/// Larger networks take the fuzzer's time.
const MOST_VALUES: usize = 1 << 16;

/// Runs a model, and converts it to every format of a single file.
fn use_of(model: &Model, folder: &Path) {
    if values(&model.network) > MOST_VALUES {
        return;
    }
    predict(model);
    for (name, format) in [
        ("converted.safetensors", SaveFormat::Safetensors),
        ("converted.pt", SaveFormat::Checkpoint),
        ("converted.onnx", SaveFormat::Onnx { fold: false }),
    ] {
        let path = folder.join(name);
        model.save(&path, format).expect("a network can be converted");
        let read = Model::load(&path, Some(model.arch)).expect("a converted network can be read");
        assert_eq!(read.arch, model.arch);
        assert_eq!(read.class_names(), model.class_names());
        assert_eq!(bits(&read.network), bits(&model.network), "{name}");
        fs::remove_file(path).expect("removed");
    }
}

/// The logits of an image.
fn predict(model: &Model) {
    const SIDE: usize = 32;
    let graph = model.network.graph();
    let cpu = Cpu::new(1).expect("a thread");
    let mut plan = EvalPlan::new(graph, Dtype::Fp32, 1, SIDE, SIDE, &cpu).expect("it can run");
    plan.load(&model.network);
    let image = vec![0.5; graph.in_channels() * SIDE * SIDE];
    let logits = plan.forward(Input::Nchw(&image), 1);
    assert_eq!(logits.len(), graph.classes());
}

fn values(network: &Network) -> usize {
    network.state_dict().iter().map(|(_, tensor)| tensor.data.len()).sum()
}

/// Names and bits of the parameters; NaN is equal to itself.
fn bits(network: &Network) -> Vec<(String, Vec<u32>)> {
    let tensors = network.state_dict().into_iter();
    let bits = tensors.filter_map(|(name, tensor)| {
        let values = tensor.as_f32()?;
        Some((name, values.iter().map(|value| value.to_bits()).collect()))
    });
    bits.collect()
}
