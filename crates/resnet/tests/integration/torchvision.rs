//! torchvision's ImageNet networks at full size: files from PyTorch are read, run and written, and
//! the results are compared with those of PyTorch and ONNX Runtime.
//!
//! `cargo test --release -p resnet --test integration torchvision:: -- --ignored --test-threads 1`
//! needs 3 GB of disk and of memory, and a Python with torch, torchvision, safetensors, onnx and
//! onnxruntime: `RESNET_PYTHON`, or else `python3`.

use std::path::Path;

use crate::common::{assert_same, distance, logits, python, read_floats, run};
use resnet::{
    Cpu,
    model_file::{FileFormat, Model, SaveFormat},
};
use resnet_formats::torch;
use serde_json::{Value, json};

/// Largest difference of two logits, relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

const BATCH: [usize; 3] = [2, 224, 224];

/// The file of a target that is to hold what PyTorch's do.
const FORMS: [(&str, SaveFormat); 5] = [
    ("ours.safetensors", SaveFormat::Safetensors),
    ("ours.pt", SaveFormat::StateDict),
    ("ours.tar", SaveFormat::Checkpoint),
    ("ours.onnx", SaveFormat::Onnx { fold: false }),
    ("timm", SaveFormat::Timm),
];

fn load(path: &Path) -> Model {
    Model::load(path, None).unwrap()
}

fn check(arch: &str) {
    let modules = "torch, torchvision, safetensors, onnx, onnxruntime, numpy";
    let Some(first) = python(modules) else { return };
    let again = || python(modules).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (folder, script) = (dir.path(), "torchvision_files.py");
    let place = |name: &str| folder.join(name);
    let made = run(first, script, &["make".as_ref(), folder, arch.as_ref()], &Value::Null);
    let files: Vec<&str> = made.as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();

    let model = load(&place("checkpoint.tar"));
    assert_eq!((model.arch.to_string().as_str(), model.epochs), (arch, Some(7)));
    let state = model.network.state_dict();
    let mut forms = Vec::new();
    for file in files {
        let found = load(&place(file));
        assert_eq!(found.arch, model.arch, "{file}");
        assert_eq!(found.classes.as_ref().unwrap()[207], "golden retriever", "{file}");
        assert_eq!((found.image_size, found.resize), (224, Some(256)), "{file}");
        assert_same(&found.network.state_dict(), &state, file);
        forms.push(found.format);
    }
    use torch::TorchLayout::{Checkpoint, Module, StateDict};
    assert_eq!(forms, [StateDict, StateDict, Module, Checkpoint].map(FileFormat::Torch));

    for (file, target) in FORMS {
        model.save(&place(file), target).unwrap();
        let found = load(&place(file));
        assert_same(&found.network.state_dict(), &state, file);
        assert_eq!((found.arch, &found.classes), (model.arch, &model.classes), "{file}");
    }
    let kept = load(&place("ours.tar")).optimizer.unwrap();
    assert_same(&kept.buffers[0], &model.optimizer.as_ref().unwrap().buffers[0], "momentum");
    let said = run(again(), script, &["compare".as_ref(), folder], &Value::Null);
    assert_eq!(said, json!([arch, 7]));

    let (input, output) = (place("input"), place("output"));
    let found = logits(&Cpu::new(2).unwrap(), &model.network, BATCH, &read_floats(&input));
    let agrees = |with: &str, want: &[f32]| {
        let error = distance(&found, want);
        println!("{arch}: logits of {with} {error:.1e}");
        assert!(error < TOLERANCE, "{arch} {with}: {error:.1e}");
    };
    agrees("PyTorch", &read_floats(&place("logits")));
    let [batch, height, width] = BATCH;
    for fold in [false, true] {
        let path = place("ours.onnx");
        model.save(&path, SaveFormat::Onnx { fold }).unwrap();
        let shape = [batch, 3, height, width];
        let runs = json!([{"shape": shape, "input": input, "output": output}]);
        run(again(), "onnx/run.py", &[], &json!([{"model": path, "runs": runs}]));
        agrees(&format!("ONNX Runtime, fold {fold}"), &read_floats(&output));
    }
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn resnet18() {
    check("resnet18");
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn resnet34() {
    check("resnet34");
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn resnet50() {
    check("resnet50");
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn resnet101() {
    check("resnet101");
}

#[test]
#[ignore = "scripts/check-pytorch runs it: full size, and needs torchvision"]
fn resnet152() {
    check("resnet152");
}
