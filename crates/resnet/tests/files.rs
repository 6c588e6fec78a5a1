//! PyTorch's own files of a golden network, in every form, and on to every form and back.

use std::path::{Path, PathBuf};

use resnet::{
    Arch, Cpu,
    checkpoint::{Form, Model, Target},
    plan::{EvalPlan, Input},
    recipe::Dtype,
};
use resnet_formats::{NamedTensors, safetensors, torch};
use resnet_kernels::Algorithms;

const FILES: [&str; 4] = ["model.pt", "state_dict.pt", "state_dict.legacy.pt", "all.tar"];

fn golden(suffix: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(format!("cifar-resnet18-w8.{suffix}"))
}

fn under(tensors: &NamedTensors, prefix: &str) -> NamedTensors {
    let cut = |(n, t): &(String, _)| Some((n.strip_prefix(prefix)?.to_owned(), Clone::clone(t)));
    let mut found: NamedTensors = tensors.iter().filter_map(cut).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// How far a model's logits are from those of PyTorch after three steps, in f64.
fn error(model: &Model, golden: &NamedTensors) -> f64 {
    let values = |name: &str| golden.iter().find(|(n, _)| n == name).unwrap().1.as_f32().unwrap();
    let cpu = Cpu::new(2).unwrap().with_algorithms(Algorithms::Direct);
    let graph = model.network.graph();
    let mut plan = EvalPlan::new(graph, Dtype::Fp32, 16, 32, 32, &cpu).unwrap();
    plan.load(&model.network);
    let (got, want) = (plan.forward(Input::Nchw(values("input")), 16), values("logits.eval3"));
    let norm =
        |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied())
}

#[test]
fn pytorchs_files_give_its_logits() {
    let (tensors, _) = safetensors::read(&golden("safetensors")).unwrap();
    let forms = [
        torch::Form::Module,
        torch::Form::StateDict,
        torch::Form::StateDict,
        torch::Form::Checkpoint,
    ];
    for (suffix, form) in FILES.into_iter().zip(forms) {
        let model = Model::load(&golden(suffix), None).unwrap();
        assert_eq!(model.form, Form::Torch(form), "{suffix}");
        assert_eq!(model.arch, "resnet18-cifar".parse::<Arch>().unwrap(), "{suffix}");
        // To the bit what PyTorch had, and the logits as close as PyTorch's own float32.
        assert_eq!(under(&model.network.state_dict(), ""), under(&tensors, "after3."), "{suffix}");
        let error = error(&model, &tensors);
        println!("{suffix}: {error:.1e}");
        assert!(error < 1e-5, "{suffix}: {error:.1e}");
        assert_eq!(model.optimizer.is_ok(), form == torch::Form::Checkpoint, "{suffix}");
    }
}

#[test]
fn every_form_becomes_every_other_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let target = |suffix: &str| Target::of_suffix(Path::new(&format!("x.{suffix}"))).unwrap();
    let arch = "resnet18-cifar".parse().unwrap();
    for source in FILES {
        let mut model = Model::load(&golden(source), None).unwrap();
        model.classes = Some((0..10).map(|class| format!("class {class}")).collect());
        model.resize = Some(40);
        let state = model.network.state_dict();
        for first in ["safetensors", "pt", "pth", "th", "tar", "onnx"] {
            let path = dir.path().join(format!("first.{first}"));
            model.save(&path, target(first)).unwrap();
            let once = Model::load(&path, None).unwrap();
            let what = format!("{source} as {first}");
            assert_eq!((once.arch, &once.network.state_dict()), (arch, &state), "{what}");
            let keeps = !["pt", "pth", "th"].contains(&first);
            assert_eq!(once.classes, model.classes.clone().filter(|_| keeps), "{what}");
            assert_eq!(once.resize, model.resize.filter(|_| keeps), "{what}");
            assert_eq!(once.notes.is_empty(), keeps, "{what}: {:?}", once.notes);
            if first == "tar" {
                assert_eq!(once.optimizer.ok(), model.optimizer.clone().ok(), "{what}");
            }
            for second in ["safetensors", "pt", "tar", "onnx"] {
                let path = dir.path().join(format!("second.{second}"));
                once.save(&path, target(second)).unwrap();
                let twice = Model::load(&path, None).unwrap();
                assert_eq!(twice.network.state_dict(), state, "{what} as {second}");
            }
        }
    }
}

#[test]
fn a_folded_network_computes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (tensors, _) = safetensors::read(&golden("safetensors")).unwrap();
    let path = dir.path().join("folded.onnx");
    let model = Model::load(&golden("state_dict.pt"), None).unwrap();
    model.save(&path, Target::Onnx { fold: true }).unwrap();
    let error = error(&Model::load(&path, None).unwrap(), &tensors);
    assert!(error < 1e-5, "{error:.1e}");
}

/// By someone else: legacy, `module.` before every name, no counts of batches.
#[test]
fn a_strangers_file_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pretrained");
    let path = folder.join("resnet20-12fca82f.th");
    let model = Model::load(&path, None).unwrap();
    assert_eq!(model.arch, "resnet20".parse::<Arch>().unwrap());
    assert_eq!(model.network.values().len(), 269_722);
    assert!(model.notes[0].contains("say --arch plain20"), "{:?}", model.notes);
    assert!(Model::load(&path, "plain20".parse().ok()).unwrap().notes.is_empty());
    let error = Model::load(&path, "resnet32".parse().ok()).unwrap_err().to_string();
    for part in
        ["is no resnet32: ", "missing: layer1.3.conv1.weight, ", " more", "it is a resnet20"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_timm_folder_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let arch: Arch = "resnet18".parse().unwrap();
    let network = resnet::Network::new(arch.graph(1000), resnet::network::Init::He, 1);
    let mut model = Model::new(arch, network);
    model.image_size = 160;
    model.resize = Some(182);
    let folder = dir.path().join("deep/folder");
    model.save(&folder, Target::Timm).unwrap();
    let back = Model::load(&folder, None).unwrap();
    assert_eq!((back.arch, back.form, back.image_size), (arch, Form::Timm, 160));
    assert_eq!(back.network.state_dict(), model.network.state_dict());
    assert_eq!(back.resize, Some(182));
    assert!(back.notes[0].contains("ImageNet's are taken, and its normalisation"));
    back.save(&folder, Target::Timm).unwrap();
    assert_eq!(Model::load(&folder, None).unwrap().classes, back.classes);

    let arch: Arch = "resnet20".parse().unwrap();
    let network = resnet::Network::new(arch.graph(10), resnet::network::Init::He, 1);
    let error = Model::new(arch, network).save(&dir.path().join("x"), Target::Timm).unwrap_err();
    assert!(error.to_string().starts_with("timm has no resnet20"), "{error}");
    assert!(!dir.path().join("x").exists());
}
