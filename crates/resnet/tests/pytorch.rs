//! Models go to PyTorch and timm and back, and compute and train there as here.
//!
//! Where `RESNET_PYTHON` (or else `python3`) has no torch, these tests say so and are skipped. The
//! one of torchvision's nets needs minutes and 3 GB of disk:
//! `RESNET_PYTHON=... cargo test -p resnet --test pytorch -- --ignored --nocapture`

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{distance, logits, python, read_floats, run, write_floats};
use resnet::{
    Arch, Cpu, Network,
    checkpoint::{Form, Model, Target},
    network::Init,
    optim::Sgd,
    plan::{Input, TrainPlan},
    recipe::Dtype,
};
use resnet_formats::{Data, NamedTensors, safetensors, torch};
use resnet_kernels::Algorithms;
use serde_json::{Value, json};

fn golden(suffix: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(format!("cifar-resnet18-w8.{suffix}"))
}

/// The batch of the golden network: images, and labels.
fn batch() -> (Vec<f32>, Vec<i64>) {
    let (tensors, _) = safetensors::read(&golden("safetensors")).unwrap();
    let tensor = |name: &str| tensors.iter().find(|(n, _)| n == name).unwrap().1.data.clone();
    match (tensor("input"), tensor("target")) {
        (Data::F32(images), Data::I64(labels)) => (images, labels),
        _ => panic!("images and labels"),
    }
}

/// Three steps more of a checkpoint: the state dict, and the momentum.
fn train_on(path: &Path, images: &[f32], labels: &[i64]) -> (NamedTensors, NamedTensors) {
    let Model { mut network, optimizer, .. } = Model::load(path, None).unwrap();
    let optimizer = optimizer.unwrap();
    let mut sgd = Sgd::new(&network, optimizer.config);
    sgd.momentum_buffer = network.import(&optimizer.momentum).unwrap();
    let cpu = Cpu::new(2).unwrap().with_algorithms(Algorithms::Direct);
    let graph = network.graph().clone();
    let mut plan = TrainPlan::new(&graph, Dtype::Fp32, labels.len(), 32, 32, &cpu).unwrap();
    let mut gradients = vec![0.0; network.values().len()];
    let labels: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
    for _ in 0..3 {
        plan.step(&mut network, &mut gradients, Input::Nchw(images), &labels, 0.0);
        sgd.step(&cpu, &mut network, &gradients, optimizer.lr as f32);
    }
    (network.state_dict(), network.export(&sgd.momentum_buffer))
}

/// The largest relative error by norm of a tensor; integers must be equal.
fn apart(got: &NamedTensors, want: &NamedTensors) -> f64 {
    assert_eq!(got.len(), want.len());
    let mut worst = 0.0f64;
    for (name, got) in got {
        let want = &want.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}")).1;
        let (Data::F32(got), Data::F32(want)) = (&got.data, &want.data) else {
            assert_eq!(got, want, "{name}");
            continue;
        };
        let norm = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
        };
        let error = norm(&mut got.iter().zip(want).map(|(a, b)| a - b));
        worst = worst.max(error / norm(&mut want.iter().copied()).max(1e-12));
    }
    worst
}

#[test]
fn both_sides_continue_alike() {
    let Some(python) = python("torch, numpy") else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let (images, labels) = batch();
    write_floats(&place("input"), &images);
    let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    fs::write(place("target"), bytes).unwrap();

    // PyTorch's own file; ours of it; ours with batch norms and biases spared from decay.
    fs::copy(golden("all.tar"), place("theirs.tar")).unwrap();
    let mut model = Model::load(&place("theirs.tar"), None).unwrap();
    model.save(&place("plain.pt"), Target::StateDict).unwrap();
    model.save(&place("ours.tar"), Target::Checkpoint).unwrap();
    let optimizer = model.optimizer.as_mut().unwrap();
    assert_eq!((optimizer.lr, optimizer.config.weight_decay), (0.002, 2e-4));
    optimizer.config.decay_norm_and_bias = false;
    optimizer.config.weight_decay = 0.1;
    optimizer.config.nesterov = true;
    model.save(&place("groups.tar"), Target::Checkpoint).unwrap();

    let cases = json!({"theirs": 1, "ours": 1, "groups": 2});
    let job = json!({"input": place("input"), "target": place("target"), "cases": cases});
    let done = run(python, "pytorch/nets.py", &[Path::new("continue"), dir.path()], &job);
    assert_eq!(done["strict"], "<All keys matched successfully>");
    for name in ["theirs", "ours", "groups"] {
        let path = place(&format!("{name}.tar"));
        let network = Model::load(&path, None).unwrap().network;
        let their_logits = read_floats(place(&format!("{name}.logits")).to_str().unwrap());
        let error = distance(&logits(&network, [16, 32, 32], &images), &their_logits);
        println!("{name}: logits {error:.1e}");
        assert!(error < 1e-4, "{name}: {error:.1e}");

        let theirs = Model::load(&place(&format!("{name}.theirs.tar")), None).unwrap();
        let (state, momentum) = train_on(&path, &images, &labels);
        let errors = [
            apart(&state, &theirs.network.state_dict()),
            apart(&momentum, &theirs.optimizer.unwrap().momentum),
        ];
        println!("{name}: state {:.1e}, momentum {:.1e}", errors[0], errors[1]);
        assert!(errors[0] < 1e-4, "{name}: {errors:?}");
        // A difference of states over a step's length.
        assert!(errors[1] < 1e-3, "{name}: {errors:?}");
    }
}

#[test]
fn timm_loads_a_folder() {
    let Some(python) = python("torch, numpy, timm") else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let arch: Arch = "resnet18".parse().unwrap();
    let mut model = Model::new(arch, Network::new(arch.graph(7), Init::PyTorch, 1));
    model.classes = Some((0..7).map(|class| format!("class {class}")).collect());
    (model.image_size, model.resize) = (224, Some(256));
    let [mean, std] = [[0.5, 0.25, 0.125], [0.2, 0.3, 0.4]].map(Vec::from);
    model.normalisation = Some(resnet::data::Normalisation { mean, std });
    model.save(&place("folder"), Target::Timm).unwrap();
    let images: Vec<f32> = (0..2 * 3 * 64 * 64).map(|i| (i as f32).sin()).collect();
    write_floats(&place("input"), &images);
    let (folder, input, output) = (place("folder"), place("input"), place("output"));
    let args = [Path::new("timm"), &folder, &input, &output];
    let found = run(python, "pytorch/nets.py", &args, &Value::Null);
    let error = distance(
        &logits(&model.network, [2, 64, 64], &images),
        &read_floats(output.to_str().unwrap()),
    );
    println!("timm: {error:.1e}");
    assert!(error < 1e-4, "{error:.1e}");
    assert_eq!(found["input_size"], json!([3, 224, 224]));
    assert_eq!((&found["crop_pct"], &found["interpolation"]), (&json!(0.875), &json!("bilinear")));
    assert_eq!(
        (&found["mean"], &found["std"]),
        (&json!([0.5, 0.25, 0.125]), &json!([0.2, 0.3, 0.4]))
    );
}

const FORMS: [(&str, torch::Form); 6] = [
    ("pth", torch::Form::StateDict),
    ("legacy.pth", torch::Form::StateDict),
    ("module.pt", torch::Form::Module),
    ("module.legacy.pt", torch::Form::Module),
    ("tar", torch::Form::Checkpoint),
    ("parallel.tar", torch::Form::Checkpoint),
];

#[test]
#[ignore = "needs torchvision and onnxruntime, minutes, and 3 GB of disk"]
fn torchvisions_nets_in_every_form() {
    let modules = "torch, torchvision, numpy, onnx, onnxruntime";
    let Some(python) = python(modules) else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = |name: String| dir.path().join(name);
    let args = [Path::new("torchvision"), dir.path()];
    let names = run(python, "pytorch/nets.py", &args, &Value::Null);
    let mut cases = Vec::new();
    for name in names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
        let mut state = None;
        for (suffix, form) in FORMS {
            let what = format!("{name}.{suffix}");
            let model = Model::load(&place(what.clone()), None).unwrap();
            assert_eq!(
                (model.arch.to_string(), model.form),
                (name.into(), Form::Torch(form)),
                "{what}"
            );
            assert_eq!(model.classes.unwrap()[999], "toilet tissue");
            assert_eq!((model.image_size, model.resize), (224, Some(256)));
            let tensors = model.network.state_dict();
            assert!(*state.get_or_insert_with(|| tensors.clone()) == tensors, "{what}");
        }
        let state = state.unwrap();
        assert!(state.iter().any(|(_, t)| t.data == Data::I64(vec![7])));
        let model = Model::load(&place(format!("{name}.tar")), None).unwrap();
        assert_eq!(model.epochs, Some(5));
        let images = read_floats(place(format!("{name}.input")).to_str().unwrap());
        let want = read_floats(place(format!("{name}.logits")).to_str().unwrap());
        let error = distance(&logits(&model.network, [2, 96, 96], &images), &want);
        println!("{name}: {error:.1e} of PyTorch");
        assert!(error < 1e-4, "{name}: {error:.1e}");

        for target in [Target::Safetensors, Target::StateDict, Target::Checkpoint, Target::Timm] {
            let path = place(format!("{name}.again"));
            model.save(&path, target).unwrap();
            let back = Model::load(&path, None).unwrap();
            assert!(back.network.state_dict() == state, "{name} {target:?}");
            let kept = target == Target::Checkpoint;
            assert_eq!(back.optimizer.is_ok(), kept, "{name} {target:?}");
            assert!(!kept || back.optimizer == model.optimizer, "{name}");
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap()
            } else {
                fs::remove_file(path).unwrap()
            }
        }
        for fold in [false, true] {
            let onnx = place(format!("{name}.{fold}.onnx"));
            model.save(&onnx, Target::Onnx { fold }).unwrap();
            let back = Model::load(&onnx, None).unwrap();
            assert!(fold || back.network.state_dict() == state, "{name}");
            let input = place(format!("{name}.input"));
            let output = place(format!("{name}.{fold}.output"));
            let runs = json!([{"shape": [2, 3, 96, 96], "input": input, "output": output}]);
            cases.push((json!({"model": onnx, "runs": runs}), output, want.clone()));
        }
    }
    let job = Value::Array(cases.iter().map(|case| case.0.clone()).collect());
    run(common::python(modules).unwrap(), "onnx/run.py", &[], &job);
    for (_, output, want) in cases {
        let error = distance(&read_floats(output.to_str().unwrap()), &want);
        println!("{}: {error:.1e} of PyTorch", output.display());
        assert!(error < 1e-4, "{}: {error:.1e}", output.display());
    }
}
