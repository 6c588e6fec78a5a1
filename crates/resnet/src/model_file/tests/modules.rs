//! Whole modules, as `torch.save(model)` writes them.

use resnet_formats::{
    safetensors::Metadata,
    torch::{Attribute, Submodule},
};

use super::{load_with, network};
use crate::{
    graph::Op,
    model_file::{Contents, FileFormat, LoadOptions, Model},
    models::Arch,
};

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
