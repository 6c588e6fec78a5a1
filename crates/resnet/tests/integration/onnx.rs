//! ONNX files: they are valid, ONNX Runtime computes the same logits from them, and they can be
//! read again. The networks have disturbed statistics, so a batch norm that is left out shows.
//!
//! Where `RESNET_PYTHON` (or else `python3`) has no onnx and onnxruntime, tests that need them say
//! so and are skipped. For all networks at full width, and files from PyTorch, run
//! `cargo test -p resnet --test integration onnx:: -- --ignored --nocapture`

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::common::{distance, python, read_floats, run, write_floats};
use resnet::{
    Arch, Cpu, Network,
    network::Init,
    onnx::{ExportOptions, export, from_model, import},
};
use resnet_formats::{NamedTensors, Tensor, onnx, safetensors::Metadata};
use serde_json::{Value, json};

/// Largest difference of two logits, relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

/// Repeatable numbers in [0, 1).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() as f32 / (1u32 << 31) as f32)
    }
}

/// A network whose batch norms do something.
fn network(arch: &str, channels: usize, classes: usize, width: Option<usize>) -> Network {
    let arch: Arch = arch.parse().unwrap();
    let graph = arch.graph_with(channels, classes, width.unwrap_or(arch.width()));
    let mut net = Network::new(graph, Init::He, 1);
    let mut state = net.state_dict();
    let mut numbers = Numbers(7);
    for (name, tensor) in &mut state {
        let (low, high) = match name.rsplit_once('.').unwrap().1 {
            "running_var" => (0.5, 1.5),
            "running_mean" => (-0.2, 0.2),
            "weight" if tensor.shape.len() == 1 => (0.5, 1.5),
            "bias" => (-0.2, 0.2),
            _ => continue,
        };
        let values = (0..tensor.data.len()).map(|_| numbers.between(low, high)).collect();
        *tensor = Tensor::f32(&tensor.shape.clone(), values);
    }
    net.load_state_dict(&state).unwrap();
    net
}

fn logits(net: &Network, size: [usize; 3], images: &[f32]) -> Vec<f32> {
    crate::common::logits(&Cpu::new(2).unwrap(), net, size, images)
}

fn sample_metadata() -> Metadata {
    let entries = [("classes", "[\"cat\",\"Hündin\"]"), ("image_size", "32")];
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn options(fold: bool) -> ExportOptions {
    ExportOptions { fold, metadata: sample_metadata() }
}

/// Exports a network folded and not, and compares ONNX Runtime's logits on batches of these
/// [images, rows, columns].
fn check_runtime(name: &str, net: &Network, sizes: &[[usize; 3]]) {
    let Some(python) = python("onnx, onnxruntime, numpy") else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = |name: String| -> PathBuf { dir.path().join(name) };
    let channels = net.graph().in_channels();
    let mut wanted = Vec::new();
    let (mut numbers, mut cases) = (Numbers(3), Vec::new());
    for fold in [false, true] {
        let model = place(format!("{fold}.onnx"));
        export(net, &model, &options(fold)).unwrap();
        let mut runs = Vec::new();
        for (index, &size @ [batch, height, width]) in sizes.iter().enumerate() {
            let count = batch * channels * height * width;
            let images: Vec<f32> = (0..count).map(|_| numbers.between(-2.0, 2.0)).collect();
            let input = place(format!("{fold}-{index}.input"));
            let output = place(format!("{fold}-{index}.output"));
            write_floats(&input, &images);
            let shape = [batch, channels, height, width];
            runs.push(json!({"shape": shape, "input": input, "output": output}));
            wanted.push((output, size, logits(net, size, &images)));
        }
        cases.push(json!({"model": model, "runs": runs}));
    }
    let found = run(python, "onnx/run.py", &[], &Value::Array(cases));
    for found in found.as_array().unwrap() {
        assert_eq!(found["producer"], "resnet");
        assert_eq!(found["metadata"], json!(sample_metadata()));
        assert_eq!(found["input"], json!(["input", "batch", channels, "height", "width"]));
        assert_eq!(found["output"], json!(["logits", "batch", net.graph().classes()]));
    }
    for (output, size, want) in wanted {
        let error = distance(&read_floats(&output), &want);
        let form = output.file_stem().unwrap().display();
        println!("{name} fold {form} {size:?}: {error:.1e}");
        assert!(error < TOLERANCE, "{name} {form} {size:?}: {error:.1e}");
    }
}

const SMALL: [[usize; 3]; 2] = [[1, 32, 32], [3, 24, 37]];
const LARGE: [[usize; 3]; 2] = [[1, 64, 64], [3, 75, 96]];

#[test]
fn paper_nets_run() {
    check_runtime("resnet8", &network("resnet8", 1, 2, None), &SMALL);
    check_runtime("resnet20", &network("resnet20", 3, 10, None), &SMALL);
    check_runtime("resnet8 odd", &network("resnet8", 3, 10, Some(5)), &SMALL);
}

#[test]
fn cifar_nets_run() {
    check_runtime("resnet18-cifar", &network("resnet18-cifar", 3, 10, Some(8)), &SMALL);
    check_runtime("plain18-cifar", &network("plain18-cifar", 3, 10, Some(8)), &SMALL);
}

#[test]
fn nets_made_for_speed_run() {
    check_runtime("resnet8-sprint", &network("resnet8-sprint", 3, 10, Some(4)), &SMALL);
    check_runtime("plain11-sprint", &network("plain11-sprint", 3, 10, Some(4)), &SMALL);
}

#[test]
fn smooth_activations_run() {
    for arch in ["resnet8+gelu", "resnet8+gelutanh", "preresnet8+silu", "resnet8-sprint+gelu"] {
        check_runtime(arch, &network(arch, 3, 10, Some(4)), &SMALL);
    }
}

#[test]
fn imagenet_nets_run() {
    check_runtime("resnet18", &network("resnet18", 3, 10, Some(8)), &LARGE);
    check_runtime("resnet50", &network("resnet50", 3, 10, Some(8)), &LARGE);
}

#[test]
#[ignore = "scripts/check-pytorch runs it: needs a minute and 500 MB of disk"]
fn every_net_runs_at_full_width() {
    for arch in ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] {
        check_runtime(arch, &network(arch, 3, 1000, None), &[[1, 224, 224], [3, 96, 128]]);
    }
    for arch in ["resnet18-cifar", "plain18-cifar", "resnet50-cifar", "resnet56", "resnet8-sprint"]
    {
        check_runtime(arch, &network(arch, 3, 10, None), &SMALL);
    }
}

#[test]
#[ignore = "scripts/check-pytorch runs it: needs a minute, and torch"]
fn files_of_pytorch_are_read() {
    let Some(python) = python("torch, torchvision, onnx, onnxscript") else { return };
    let dir = tempfile::tempdir().unwrap();
    for case in run(python, "onnx/export.py", &[dir.path()], &Value::Null).as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap();
        let read = import(Path::new(text("model"))).unwrap();
        assert_eq!(read.arch, text("arch").parse().unwrap());
        let mut net = Network::new(read.arch.graph(10), Init::He, 0);
        net.load_state_dict(&read.state).unwrap();
        let error = distance(
            &logits(&net, [2, 64, 64], &read_floats(text("input").as_ref())),
            &read_floats(text("logits").as_ref()),
        );
        println!("{}: {error:.1e}", text("model"));
        assert!(error < TOLERANCE, "{}: {error:.1e}", text("model"));
    }
}

/// The state dict without what only training reads.
fn inference_state(net: &Network) -> NamedTensors {
    let mut state = net.state_dict();
    state.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
    state
}

#[test]
fn a_plain_file_holds_the_state_dict() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    for arch in ["resnet8", "resnet18-cifar", "plain18", "resnet50", "resnet8-sprint"] {
        let net = network(arch, 3, 10, Some(4));
        export(&net, &path, &options(false)).unwrap();
        let model = onnx::read(&path).unwrap();
        assert_eq!(model.graph.initializers, inference_state(&net));
        let read = import(&path).unwrap();
        let mut expected = sample_metadata();
        expected.insert("arch".into(), arch.into());
        assert_eq!(read.metadata, expected);
        let by_name = |mut state: NamedTensors| {
            state.sort_by(|a, b| a.0.cmp(&b.0));
            state
        };
        assert_eq!(by_name(read.state), by_name(inference_state(&net)));
    }
}

#[test]
fn a_folded_file_comes_back_as_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (path, again) = (dir.path().join("model.onnx"), dir.path().join("again.onnx"));
    for arch in ["resnet8", "resnet18-cifar", "resnet50"] {
        let net = network(arch, 3, 10, Some(4));
        export(&net, &path, &options(true)).unwrap();
        let tensors = onnx::read(&path).unwrap().graph.initializers;
        assert!(tensors.iter().all(|(name, _)| !name.contains("bn")), "{arch}");
        let mut read = Network::new(net.graph().clone(), Init::He, 0);
        read.load_state_dict(&import(&path).unwrap().state).unwrap();
        // Its batch norms change nothing: folded again, not a bit differs.
        export(&read, &again, &options(true)).unwrap();
        assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "{arch}");
        let images: Vec<f32> = (0..3 * 40 * 40).map(|i| (i as f32).sin()).collect();
        let [got, want] = [&read, &net].map(|net| logits(net, [1, 40, 40], &images));
        assert!(distance(&got, &want) < 1e-5, "{arch}");
    }
}

#[test]
fn graphs_that_do_not_run_are_not_written() {
    let mut graph = resnet::Graph::new(3);
    graph.conv2d("conv1", resnet::Graph::INPUT, 8, 3, 1, 1);
    let net = Network::new(graph, Init::He, 0);
    let dir = tempfile::tempdir().unwrap();
    let error = export(&net, &dir.path().join("x.onnx"), &options(true)).unwrap_err();
    assert_eq!(error.to_string(), "conv1: a network ends in a linear layer, its only one");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn damaged_files_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let mut numbers = Numbers(11);
    let (mut read, mut refused) = (0, 0);
    for fold in [false, true] {
        export(&network("resnet8", 3, 10, Some(1)), &path, &options(fold)).unwrap();
        let good = fs::read(&path).unwrap();
        for _ in 0..400 {
            let mut bytes = good.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                match numbers.below(5) {
                    0 => bytes[at] = numbers.next() as u8,
                    1 => bytes[at] ^= 1 << numbers.below(8),
                    2 => bytes.truncate(at.max(1)),
                    3 => bytes[at] = 0xff,
                    _ => {
                        let from = numbers.below(bytes.len());
                        let part = bytes[from..(from + 40).min(bytes.len())].to_vec();
                        bytes.splice(at..at, part);
                    }
                }
            }
            let mut result = None;
            let allocated = allocation_counter::measure(|| {
                result = onnx::from_bytes(&bytes).ok().map(|model| from_model(&model).is_ok());
            });
            // The reader's 32 times, and the state dict's copies.
            assert!(allocated.bytes_max <= 64 * bytes.len() as u64, "{allocated:?}");
            if result == Some(true) { read += 1 } else { refused += 1 }
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > 50 && refused > 50, "{read} read, {refused} refused");
}
