//! Networks as other programs save them.

mod modules;

use std::path::Path;

use resnet_formats::{NamedTensors, Tensor, safetensors::Metadata};

use super::{Contents, FileFormat, LoadOptions, Model, Weights};
use crate::{
    models::Arch,
    network::{Init, Network},
};

fn network(arch: &str) -> Network {
    let arch: Arch = arch.parse().unwrap();
    Network::new(arch.graph_with(3, 5, 2), Init::PyTorch, 0)
}

/// The state dict of a net with a 3x3 stem under torchvision's names.
fn usual() -> NamedTensors {
    let mut tensors = network("resnet18-cifar").state_dict();
    for (name, _) in &mut tensors {
        *name = name.replace("linear", "fc").replace("shortcut", "downsample");
    }
    tensors
}

fn renamed(rename: impl Fn(&str) -> String) -> NamedTensors {
    usual().into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn with(mut tensors: NamedTensors, more: &[(&str, &[usize])]) -> NamedTensors {
    for (name, shape) in more {
        let count = shape.iter().product();
        tensors.push(((*name).to_owned(), Tensor::f32(shape, vec![0.5; count])));
    }
    tensors
}

fn load_with(contents: Contents, options: &LoadOptions) -> Result<Model, String> {
    Model::from_contents(Path::new("x"), contents, options).map_err(|error| error.to_string())
}

fn load(tensors: NamedTensors) -> Result<Model, String> {
    let contents = Contents::new(FileFormat::Safetensors, tensors, Metadata::new());
    load_with(contents, &LoadOptions::default())
}

/// Loads tensors that must be the usual network, and returns the notes before the last, which is about
/// the architecture.
#[track_caller]
fn notes_of(tensors: NamedTensors) -> Vec<String> {
    let mut model = load(tensors).unwrap();
    assert_eq!(model.network.state_dict(), network("resnet18-cifar").state_dict());
    assert!(model.notes.pop().unwrap().contains("inferred resnet18-cifar from the names"));
    model.notes
}

#[test]
fn a_network_may_have_any_prefix() {
    for prefix in ["", "backbone.", "module.model.", "_orig_mod.module.", "layer1.0.", "m.0."] {
        assert_eq!(notes_of(renamed(|name| format!("{prefix}{name}"))), [""; 0], "{prefix}");
    }
}

#[test]
fn a_head_may_have_any_name() {
    for head in ["fc.1", "fc.0", "classifier", "head.fc", "last_linear", "predictor.2"] {
        let inside = renamed(|name| format!("net.{}", name.replace("fc.", &format!("{head}."))));
        assert_eq!(notes_of(inside), [""; 0], "{head}");
        let next_to_it = renamed(|name| match name.strip_prefix("fc.") {
            Some(rest) => format!("{head}.{rest}"),
            None => format!("backbone.{name}"),
        });
        assert_eq!(notes_of(next_to_it), [""; 0], "{head}");
    }
    // Without a bias.
    let mut bare = usual();
    bare.pop();
    let bias = load(bare).unwrap().network.state_dict().pop().unwrap();
    assert_eq!(bias.1, Tensor::f32(&[5], vec![0.0; 5]));
}

#[test]
fn a_heads_layers_must_be_one() {
    let heads = |new: &[(&str, &[usize])]| {
        let mut tensors = usual();
        tensors.retain(|(name, _)| !name.starts_with("fc."));
        load(with(tensors, new)).unwrap_err()
    };
    assert!(heads(&[]).contains("x has no head, a linear layer of 16 inputs"));
    let two: &[(&str, &[usize])] = &[("fc.0.weight", &[8, 16]), ("fc.2.weight", &[5, 8])];
    assert!(heads(two).contains("a head 'fc' of more than one linear layer ('fc.0', 'fc.2')"));
    let normed: &[(&str, &[usize])] = &[("fc.0.running_mean", &[16]), ("fc.1.weight", &[5, 16])];
    assert!(heads(normed).contains("('fc.1' and others)"));
    let rivals: &[(&str, &[usize])] = &[("age.weight", &[5, 16]), ("kind.weight", &[5, 16])];
    assert!(heads(rivals).contains("has 2 heads, such as 'age' and 'kind'"));
    // Without values, it could be of any size.
    assert!(heads(&[("fc.weight", &[1 << 60, 0])]).contains("x has no head"));
}

#[test]
fn what_is_no_part_of_the_network_is_named() {
    let model = |name: &str| format!("model.{name}");
    let notes = notes_of(with(renamed(model), &[("criterion.weight", &[5])]));
    assert_eq!(notes, ["x: left out 'criterion.weight', which is no part of the network"]);
    let second = with(usual(), &[("aux_fc.weight", &[3, 16]), ("aux_fc.bias", &[3])]);
    let note = "x: left out 'aux_fc.weight', 'aux_fc.bias', which are no part of the network";
    assert_eq!(notes_of(second), [note]);
    let counters: &[(&str, &[usize])] = &[
        ("total_ops", &[1]),
        ("layer1.0.total_ops", &[1]),
        ("conv1.total_params", &[1]),
        ("n_averaged", &[]),
    ];
    let note = &notes_of(with(usual(), counters))[0];
    assert!(note.contains(" and 1 more tensors, which are no part"), "{note}");
}

#[test]
fn layers_that_would_change_the_result_are_refused() {
    for (layer, shape) in [
        ("neck.weight", &[16, 16, 1, 1][..]),
        ("bottleneck.running_mean", &[16]),
        ("hidden.weight", &[16, 16]),
    ] {
        let error = load(with(usual(), &[(layer, shape)])).unwrap_err();
        assert!(error.contains(&format!("no network of the family has: '{layer}'")), "{error}");
    }
    let error = load(with(usual(), &[("layer1.0.se.fc1.weight", &[1, 2, 1, 1])])).unwrap_err();
    assert!(error.contains("unexpected: layer1.0.se.fc1.weight"), "{error}");
}

#[test]
fn a_layer_that_normalises_is_used() {
    let inner = renamed(|name| format!("1.{name}"));
    let model = load(with(inner, &[("0.mean", &[1, 3, 1, 1]), ("0.std", &[3])])).unwrap();
    let normalisation = model.normalisation.unwrap();
    assert_eq!((normalisation.mean, normalisation.std), (vec![0.5; 3], vec![0.5; 3]));
    assert!(model.notes[0].contains("it normalises images itself"), "{:?}", model.notes);
}

#[test]
fn other_programs_names_are_read() {
    let weiaicunzai = renamed(|name| {
        let Some((stage, rest)) = name.strip_prefix("layer").and_then(|n| n.split_once('.')) else {
            return name.replace("bn1.", "conv1.1.").replace("conv1.w", "conv1.0.w");
        };
        let stage: usize = stage.parse().unwrap();
        let mut rest = rest.replace("downsample", "shortcut");
        for (layer, index) in [("conv1", 0), ("bn1", 1), ("conv2", 3), ("bn2", 4)] {
            rest = rest.replace(&format!(".{layer}."), &format!(".residual_function.{index}."));
        }
        format!("conv{}_x.{rest}", stage + 1)
    });
    let transformers = renamed(|name| {
        let Some((stage, rest)) = name.strip_prefix("layer").and_then(|n| n.split_once('.')) else {
            return name
                .replace("conv1.", "resnet.embedder.embedder.convolution.")
                .replace("bn1.", "resnet.embedder.embedder.normalization.")
                .replace("fc.", "classifier.1.");
        };
        let stage: usize = stage.parse().unwrap();
        let mut rest = rest.replace("downsample.0", "shortcut.convolution");
        rest = rest.replace("downsample.1", "shortcut.normalization");
        for i in 0..2 {
            rest = rest.replace(&format!(".conv{}", i + 1), &format!(".layer.{i}.convolution"));
            rest = rest.replace(&format!(".bn{}", i + 1), &format!(".layer.{i}.normalization"));
        }
        format!("resnet.encoder.stages.{}.layers.{rest}", stage - 1)
    });
    let children = |first: usize, head: &str| {
        renamed(|name| {
            let (part, rest) = name.split_once('.').unwrap();
            match part {
                "conv1" => format!("0.{rest}"),
                "bn1" => format!("1.{rest}"),
                "fc" => format!("{head}.{rest}"),
                stage => format!("{}.{rest}", stage[5..].parse::<usize>().unwrap() + first - 1),
            }
        })
    };
    let mut fastai = children(4, "head");
    for (name, _) in &mut fastai {
        *name = match name.strip_prefix("head") {
            Some(rest) => format!("1{rest}"),
            None => format!("0.{name}"),
        };
    }
    for tensors in [weiaicunzai, transformers, children(4, "9"), children(2, "7"), fastai] {
        assert_eq!(notes_of(tensors), [""; 0]);
    }
}

#[test]
fn counts_are_taken_as_pytorch_does() {
    let tracked = |new: fn(Tensor) -> Tensor| {
        let mut tensors = usual();
        for (name, tensor) in &mut tensors {
            if name.ends_with("tracked") {
                *tensor = new(tensor.clone());
            }
        }
        notes_of(tensors)
    };
    assert_eq!(tracked(|tensor| Tensor { shape: vec![1], ..tensor }), [""; 0]);
    assert_eq!(tracked(|_| Tensor::f32(&[], vec![0.0])), [""; 0]);
}

#[test]
fn of_several_networks_one_is_chosen() {
    let both = |first: &str, second: &str| {
        let mut tensors = renamed(|name| format!("{first}.{name}"));
        tensors.extend(renamed(|name| format!("{second}.{name}")));
        tensors
    };
    let error = load(both("student", "teacher")).unwrap_err();
    assert!(error.contains("has 2 networks: 'student' and 'teacher'; choose one"), "{error}");
    let mut many = both("after", "grad");
    many.extend(both("ahead", "before"));
    let error = load(many).unwrap_err();
    let named = "has 4 networks: 'after', 'grad', 'ahead' and 'before'; choose one with --weights";
    assert!(error.contains(named), "{error}");
    let tensors = both("student", "teacher");
    let contents = || Contents::new(FileFormat::Safetensors, tensors.clone(), Metadata::new());
    let weights = |name: &str| LoadOptions { arch: None, weights: name.parse().unwrap() };
    let model = load_with(contents(), &weights("teacher")).unwrap();
    assert!(model.notes[0].contains("left out 'student.conv1.weight', "), "{:?}", model.notes);
    let error = load_with(contents(), &weights("other")).unwrap_err();
    assert!(error.contains("x has no weights named 'other'"), "{error}");
    // MoCo's encoders.
    let moco = with(both("module.encoder_q", "module.encoder_k"), &[("module.queue", &[4, 8])]);
    let notes = notes_of(moco);
    assert!(notes[0].contains("uses the network 'module.encoder_q'"), "{notes:?}");
    // An average within the names.
    let contents = || Contents::new(FileFormat::Safetensors, both("ema", "net"), Metadata::new());
    for (weights, left_out) in
        [(Weights::Average, "net."), (Weights::Usual, "net."), (Weights::Model, "ema.")]
    {
        let is_usual = weights == Weights::Usual;
        let model = load_with(contents(), &LoadOptions { arch: None, weights }).unwrap();
        let notes = model.notes.join("\n");
        assert!(notes.contains(&format!("left out '{left_out}")), "{notes}");
        let note = "uses the average of its weights, 'ema' (--weights model chooses 'net')";
        assert_eq!(notes.contains(note), is_usual, "{notes}");
    }
}
