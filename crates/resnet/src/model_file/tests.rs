//! Networks as other programs save them.

use std::path::Path;

use resnet_formats::{
    NamedTensors, Tensor,
    safetensors::Metadata,
    torch::{Attribute, Submodule},
};

use super::{Contents, FileFormat, LoadOptions, Model, Weights};
use crate::{
    graph::Op,
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
        let beside = renamed(|name| match name.strip_prefix("fc.") {
            Some(rest) => format!("{head}.{rest}"),
            None => format!("backbone.{name}"),
        });
        assert_eq!(notes_of(beside), [""; 0], "{head}");
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
    assert!(error.contains("has 2 networks, such as 'student' and 'teacher'"), "{error}");
    assert!(error.contains("--weights teacher"), "{error}");
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

/// The modules of a network, as PyTorch has them.
fn modules(arch: &str) -> Vec<Submodule> {
    let arch: Arch = arch.parse().unwrap();
    let number = |name: &str, value: f64| (name.to_owned(), Attribute::Number(value));
    let mut found = Vec::new();
    for node in arch.graph_with(3, 5, 2).nodes() {
        let (class, attributes) = match node.op {
            Op::Conv2d { kernel, stride, padding, .. } => {
                let pair = |name: &str, value: usize| {
                    (name.to_owned(), Attribute::Numbers(vec![value as f64; 2]))
                };
                let attributes = vec![
                    pair("kernel_size", kernel),
                    pair("stride", stride),
                    pair("padding", padding),
                ];
                ("conv.Conv2d", attributes)
            }
            Op::BatchNorm2d => ("batchnorm.BatchNorm2d", vec![number("eps", arch.epsilon.value())]),
            Op::Relu => ("activation.ReLU", vec![]),
            Op::Gelu { tanh } => {
                let text = if tanh { "tanh" } else { "none" };
                ("activation.GELU", vec![("approximate".into(), Attribute::Text(text.into()))])
            }
            Op::Silu => ("activation.SiLU", vec![]),
            Op::MaxPool2d { kernel, stride, padding } => (
                "pooling.MaxPool2d",
                vec![
                    number("kernel_size", kernel as f64),
                    number("stride", stride as f64),
                    number("padding", padding as f64),
                ],
            ),
            Op::GlobalMaxPool => ("pooling.AdaptiveMaxPool2d", vec![number("output_size", 1.0)]),
            Op::Linear => ("linear.Linear", vec![]),
            _ => continue,
        };
        found.push(Submodule {
            path: node.name.clone(),
            class: format!("torch.nn.modules.{class}"),
            has_children: false,
            attributes,
        });
    }
    found
}

fn load_module(arch: &str, modules: Vec<Submodule>) -> Result<Model, String> {
    load_module_as(None, arch, modules)
}

fn load_module_as(
    asked: Option<&str>,
    arch: &str,
    modules: Vec<Submodule>,
) -> Result<Model, String> {
    let contents = Contents {
        modules,
        ..Contents::new(FileFormat::Safetensors, network(arch).state_dict(), Metadata::new())
    };
    load_with(contents, &LoadOptions::from(asked.and_then(|arch| arch.parse::<Arch>().ok())))
}

#[test]
fn code_may_pool_without_a_module() {
    let without = || {
        let mut modules = modules("resnet18");
        modules.retain(|module| module.path != "maxpool");
        modules
    };
    let error = load_module("resnet18", without()).unwrap_err();
    assert!(error.contains("--arch resnet18 (a max pool) or --arch resnet18+nopool"), "{error}");
    for arch in ["resnet18", "resnet18+nopool"] {
        let model = load_module_as(Some(arch), "resnet18", without()).unwrap();
        assert_eq!(model.arch.to_string(), arch);
    }
    // Nothing is in the place of the pool, or there is no code that could call it.
    let module = |path: &str, class: &str, has_children| Submodule {
        path: path.into(),
        class: format!("torch.nn.modules.{class}"),
        has_children,
        attributes: vec![],
    };
    let identity = [without(), vec![module("maxpool", "linear.Identity", false)]].concat();
    let sequential = [vec![module("", "container.Sequential", true)], without()].concat();
    for modules in [identity, sequential] {
        let model = load_module("resnet18", modules).unwrap();
        assert_eq!(model.arch.to_string(), "resnet18+nopool");
    }
}

#[test]
fn a_whole_module_states_its_architecture() {
    for arch in [
        "resnet18",
        "resnet18+nopool",
        "resnet34-cifar",
        "resnet18-cifar+maxpool",
        "resnet50+stride1x1",
        "resnet50-cifar+maxpool+stride1x1+eps0.001",
        "resnet20+eps0.001",
        "resnet8-sprint+w32-64-64",
        "resnet18+gelu",
        "resnet8-sprint+gelutanh",
        "preresnet20+silu",
    ] {
        let mut modules = modules(arch);
        if arch.contains("nopool") {
            modules.push(Submodule {
                path: "maxpool".into(),
                class: "torch.nn.modules.linear.Identity".into(),
                has_children: false,
                attributes: vec![],
            });
        }
        let model = load_module(arch, modules).unwrap();
        assert_eq!(model.arch.to_string(), arch);
        let note = &model.notes[0];
        assert!(note.starts_with(&format!("x: inferred {arch} from its modules")), "{note}");
    }
}

#[test]
fn modules_of_no_architecture_are_refused_by_name() {
    let refusal = |arch: &str, change: &dyn Fn(&mut Vec<Submodule>)| {
        let mut modules = modules(arch);
        change(&mut modules);
        load_module(arch, modules).unwrap_err()
    };
    let class = |path: &'static str, class: &'static str| {
        move |modules: &mut Vec<Submodule>| match modules
            .iter_mut()
            .find(|module| module.path == path)
        {
            Some(module) => module.class = class.into(),
            None => modules.push(Submodule {
                path: path.into(),
                class: class.into(),
                has_children: false,
                attributes: vec![],
            }),
        }
    };
    let set = |path: &'static str, name: &'static str, value: Attribute| {
        move |modules: &mut Vec<Submodule>| {
            let module = modules.iter_mut().find(|module| module.path == path).unwrap();
            module.attributes.retain(|(own, _)| own != name);
            module.attributes.push((name.into(), value.clone()));
        }
    };
    let gelu = "torch.nn.modules.activation.GELU";
    let error = refusal("resnet18", &class("layer1.0.relu1", gelu));
    let expected =
        "x has a module 'layer1.0.relu1' (torch.nn.modules.activation.GELU) that is another";
    assert!(error.contains(expected), "{error}");
    let elu = "torch.nn.modules.activation.ELU";
    let error = refusal("resnet18", &class("layer1.0.relu1", elu));
    assert!(error.contains("x has a module 'layer1.0.relu1' (torch.nn.modules.activation.ELU)"));
    for (module, what) in [("layer2.0.soft", "__main__.Blur"), ("aa", "timm.layers.BlurPool2d")] {
        let error = refusal("resnet50", &class(module, what));
        assert!(error.contains(&format!("'{module}' ({what}) that no network")), "{error}");
    }
    let error = refusal("resnet18", &class("conv1", "timm.layers.StdConv2d"));
    assert!(error.contains("is no Conv2d, where a resnet18 has one"), "{error}");
    for (path, name, value, expected) in [
        ("layer1.0.conv1", "dilation", Attribute::Numbers(vec![2.0; 2]), "dilation=2, where"),
        (
            "layer1.0.conv1",
            "groups",
            Attribute::Number(2.0),
            "has groups=2, where the family has 1",
        ),
        ("layer4.0.conv1", "stride", Attribute::Number(1.0), "has stride=1, where"),
        ("conv1", "padding_mode", Attribute::Text("reflect".into()), "padding_mode='reflect'"),
        ("maxpool", "ceil_mode", Attribute::Bool(true), "has ceil_mode=True"),
        ("maxpool", "kernel_size", Attribute::Number(2.0), "has kernel_size=2, where"),
        ("layer4.1.bn2", "eps", Attribute::Number(0.1), "has eps=0.1, where another has"),
        ("bn1", "track_running_stats", Attribute::Bool(false), "track_running_stats=False"),
    ] {
        let error = refusal("resnet18", &set(path, name, value));
        assert!(error.contains(&format!("'{path}'")) && error.contains(expected), "{error}");
    }
    let error =
        refusal("resnet8-sprint", &set("layer2.pool", "kernel_size", Attribute::Number(3.0)));
    assert!(error.contains("'layer2.pool'") && error.contains("has kernel_size=3"), "{error}");
    let mean = "torch.nn.modules.pooling.AdaptiveAvgPool2d";
    let error = refusal("resnet8-sprint", &class("maxpool", mean));
    assert!(error.contains("'maxpool' (torch.nn.modules.pooling.AdaptiveAvgPool2d)"), "{error}");
    // What changes nothing in evaluation.
    let mut more = modules("resnet18");
    for name in ["Dropout", "Identity", "DropPath"] {
        class(&*name.to_owned().leak(), &*format!("timm.layers.{name}").leak())(&mut more);
    }
    assert!(load_module("resnet18", more).is_ok());
}

#[test]
fn the_user_and_the_modules_must_agree() {
    let contents = Contents {
        modules: modules("resnet18-cifar+maxpool"),
        ..Contents::new(
            FileFormat::Safetensors,
            network("resnet18-cifar").state_dict(),
            Metadata::new(),
        )
    };
    let options = LoadOptions::from("resnet18-cifar".parse::<Arch>().ok());
    let error = load_with(contents, &options).unwrap_err();
    assert!(error.contains("is a resnet18-cifar+maxpool, not a resnet18-cifar"), "{error}");
}
