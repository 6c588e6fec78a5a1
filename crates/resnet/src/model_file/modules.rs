//! What the modules of a whole pickled network say of themselves, and the architecture that they are.
//!
//! Names and shapes of tensors do not show strides, pools, activations and epsilons. The modules state
//! them. What the code of a module does is not in the file: operations without a module are not seen.

use std::collections::HashMap;

use resnet_formats::{
    brief,
    torch::{Attribute, Submodule},
};

use super::locate::Located;
use crate::{
    graph::{Activation, Epsilon, Graph, Op},
    models::{Arch, Block, Family, Shortcut, StrideAt},
};

/// The architecture of a pickled network, of which `arch` is the one by names and shapes, and `asked` what
/// the user wants it to be.
///
/// # Errors
/// The module that no architecture has, and what it is; or what neither modules nor user say.
pub(super) fn stated_arch(
    arch: Arch,
    asked: Option<Arch>,
    modules: &[Submodule],
    located: &Located,
) -> Result<Arch, String> {
    let Some(body) = &located.body else { return Ok(arch) };
    let head = located.head.as_deref().unwrap_or_default();
    let usual_name = |module: &Submodule| {
        if module.path == head {
            return Some("fc".to_owned());
        }
        let name = body.usual_name(&format!("{}.weight", module.path))?;
        Some(name.strip_suffix(".weight")?.replace("shortcut", "downsample"))
    };
    let mut layers: HashMap<String, Op> = HashMap::new();
    for node in arch.graph_with(3, 1, 1).nodes() {
        if matches!(node.op, Op::Conv2d { .. } | Op::BatchNorm2d | Op::Linear) {
            let name = node.name.replace("shortcut", "downsample").replace("linear", "fc");
            layers.insert(name, node.op);
        }
    }
    let mut found: Vec<(String, &Submodule)> = Vec::new();
    let mut others = Vec::new();
    for module in modules {
        match usual_name(module).filter(|name| layers.contains_key(name)) {
            Some(name) => found.push((name, module)),
            None => others.push(module),
        }
    }
    let mut stated = arch.usual();
    stated.epsilon = epsilon(&found)?;
    stated.activation = activation(&others)?;
    stated.max_pool = match (has_max_pool(modules, &others, stated)?, asked) {
        (Some(stated), _) => stated,
        (None, Some(asked)) => asked.max_pool,
        (None, None) if stated.max_pool => {
            let mut without = stated;
            without.max_pool = false;
            return Err(format!(
                "has no module between its stem and its stages that says whether there is a max pool: \
                 choose with --arch {stated} (a max pool) or --arch {without}"
            ));
        }
        (None, None) => false,
    };
    let strided = found.iter().find(|(name, _)| name == "layer2.0.conv1");
    let strided = strided.and_then(|(_, conv)| numbers(conv, "stride"));
    if stated.block() == Block::Bottleneck && strided == Some([2.0, 2.0]) {
        stated.stride_at = StrideAt::Conv1x1;
    }
    let graph = stated.graph_with(3, 1, 1);
    for node in graph.nodes() {
        let name = node.name.replace("shortcut", "downsample").replace("linear", "fc");
        layers.insert(name, node.op);
    }
    for (name, module) in found {
        check_layer(module, layers[&name], stated)?;
    }
    let pooled = pooled_side(stated, &graph);
    others.iter().try_for_each(|module| check_other(module, stated, pooled))?;
    Ok(stated)
}

/// Rows and columns that the average pool reads, of images of the usual size.
fn pooled_side(arch: Arch, graph: &Graph) -> Option<usize> {
    let shapes = graph.shapes(arch.image_size(), arch.image_size()).ok()?;
    let pool = graph.nodes().iter().find(|node| node.op == Op::GlobalAvgPool)?;
    Some(shapes[pool.inputs[0]].height)
}

/// Whether a max pool follows the stem. None if the modules do not say: the code may call
/// `torch.nn.functional.max_pool2d`.
fn has_max_pool(
    modules: &[Submodule],
    others: &[&Submodule],
    arch: Arch,
) -> Result<Option<bool>, String> {
    let pools = others.iter().filter(|module| class(module) == "MaxPool2d").collect::<Vec<_>>();
    if arch.family == Family::Sprint {
        // Those of the stages, which the code may call as functions.
        pools.into_iter().try_for_each(|pool| check_pool(pool, [2.0, 2.0, 0.0]))?;
        return Ok(Some(false));
    }
    let pool = match &pools[..] {
        [] => {
            let is_empty_place =
                |module: &&Submodule| class(module) == "Identity" && module.path.contains("pool");
            let is_sequential = modules.first().is_some_and(|whole| class(whole) == "Sequential");
            let says_none = is_sequential || others.iter().any(is_empty_place);
            return Ok(says_none.then_some(false));
        }
        [pool] => pool,
        [_, second, ..] => return Err(other(second, "is a second max pool")),
    };
    if arch.family == Family::Paper || pool.path.split('.').any(|part| part.starts_with("layer")) {
        return Err(other(pool, &format!("is a max pool where a {arch} has none")));
    }
    check_pool(pool, [3.0, 2.0, 1.0]).map(|()| Some(true))
}

/// Refuses a max pool of another window, stride or padding.
fn check_pool(pool: &Submodule, [kernel, stride, padding]: [f64; 3]) -> Result<(), String> {
    for (name, value, default) in [
        ("kernel_size", kernel, kernel),
        ("stride", stride, kernel),
        ("padding", padding, 0.0),
        ("dilation", 1.0, 1.0),
    ] {
        require(pool, name, &[value; 2], default)?;
    }
    match pool.attribute("ceil_mode") {
        Some(Attribute::Bool(true)) => Err(other(pool, "has ceil_mode=True")),
        _ => Ok(()),
    }
}

/// The class's name without its package.
fn class(module: &Submodule) -> &str {
    module.class.rsplit('.').next().unwrap_or_default()
}

/// Whether a class is PyTorch's own.
fn is_torchs(module: &Submodule) -> bool {
    module.class.starts_with("torch.nn.")
}

/// Modules that change nothing in evaluation.
fn is_inert(module: &Submodule) -> bool {
    const INERT: [&str; 10] = [
        "AlphaDropout",
        "DropBlock2d",
        "DropPath",
        "Dropout",
        "Dropout1d",
        "Dropout2d",
        "FeatureAlphaDropout",
        "Flatten",
        "Identity",
        "StochasticDepth",
    ];
    INERT.contains(&class(module))
}

fn other(module: &Submodule, what: &str) -> String {
    format!("has a module '{}' ({}) that {what}", brief(&module.path), brief(&module.class))
}

/// The numbers of an attribute for both dimensions.
fn numbers(module: &Submodule, name: &str) -> Option<[f64; 2]> {
    match module.attribute(name)? {
        Attribute::Number(value) => Some([*value; 2]),
        Attribute::Numbers(values) => match values[..] {
            [value] => Some([value; 2]),
            [rows, columns] => Some([rows, columns]),
            _ => None,
        },
        _ => None,
    }
}

/// Refuses another value of an attribute. Files of old versions may lack it: it has its default.
fn require(
    module: &Submodule,
    name: &str,
    expected: &[f64; 2],
    default: f64,
) -> Result<(), String> {
    let found = match module.attribute(name) {
        None => [default; 2],
        Some(Attribute::Text(text)) => {
            let same =
                expected[0] * 2.0 + 1.0 == numbers(module, "kernel_size").map_or(0.0, |k| k[0]);
            if text == "same" && same {
                return Ok(());
            }
            return Err(other(module, &format!("has {name}='{}'", brief(text))));
        }
        Some(_) => numbers(module, name)
            .ok_or_else(|| other(module, &format!("has a {name} that is no number")))?,
    };
    if found == *expected {
        return Ok(());
    }
    let show = |value: &[f64; 2]| match value {
        [rows, columns] if rows == columns => rows.to_string(),
        [rows, columns] => format!("({rows}, {columns})"),
    };
    let (found, expected) = (show(&found), show(expected));
    Err(other(module, &format!("has {name}={found}, where the family has {expected}")))
}

/// The activation function, if the modules say.
fn activation(others: &[&Submodule]) -> Result<Activation, String> {
    let mut found: Option<Activation> = None;
    for module in others.iter().filter(|module| is_torchs(module)) {
        let tanh = match module.attribute("approximate") {
            None => false,
            Some(Attribute::Text(text)) if text == "none" || text == "tanh" => text == "tanh",
            Some(_) => return Err(other(module, "has an unknown approximation")),
        };
        let own = match (class(module), tanh) {
            ("ReLU", _) => Activation::Relu,
            ("GELU", false) => Activation::Gelu,
            ("GELU", true) => Activation::GeluTanh,
            ("SiLU", _) => Activation::Silu,
            _ => continue,
        };
        if *found.get_or_insert(own) != own {
            return Err(other(module, "is another activation than those before it"));
        }
    }
    Ok(found.unwrap_or_default())
}

/// The epsilon of all batch norms.
fn epsilon(layers: &[(String, &Submodule)]) -> Result<Epsilon, String> {
    let mut found: Option<f64> = None;
    for (_, module) in layers {
        let Some(Attribute::Number(eps)) = module.attribute("eps") else { continue };
        match found {
            Some(known) if known == *eps => {}
            Some(known) => {
                return Err(other(module, &format!("has eps={eps}, where another has {known}")));
            }
            None if Epsilon::new(*eps).is_none() => {
                return Err(other(module, &format!("has eps={eps}")));
            }
            None => found = Some(*eps),
        }
    }
    Ok(found.and_then(Epsilon::new).unwrap_or_default())
}

/// Checks a layer of the network.
fn check_layer(module: &Submodule, op: Op, arch: Arch) -> Result<(), String> {
    let expected = match op {
        Op::Conv2d { .. } => &["Conv2d"][..],
        Op::BatchNorm2d => &["BatchNorm2d", "SyncBatchNorm", "FrozenBatchNorm2d"],
        Op::Linear => &["Linear", "NonDynamicallyQuantizableLinear"],
        _ => return Ok(()),
    };
    let known = is_torchs(module) || class(module) == "FrozenBatchNorm2d";
    if !known || !expected.contains(&class(module)) {
        return Err(other(module, &format!("is no {}, where a {arch} has one", expected[0])));
    }
    match op {
        Op::Conv2d { kernel, stride, padding, groups } => {
            for (name, value, default) in [
                ("kernel_size", kernel, kernel),
                ("stride", stride, 1),
                ("padding", padding, 0),
                ("dilation", 1, 1),
                ("groups", groups, 1),
            ] {
                require(module, name, &[value as f64; 2], default as f64)?;
            }
            match module.attribute("padding_mode") {
                Some(Attribute::Text(mode)) if mode != "zeros" => {
                    Err(other(module, &format!("has padding_mode='{}'", brief(mode))))
                }
                _ => Ok(()),
            }
        }
        Op::BatchNorm2d => match module.attribute("track_running_stats") {
            Some(Attribute::Bool(false)) => Err(other(module, "has track_running_stats=False")),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Checks a module that is no layer of the network. Those with tensors were looked at as tensors.
fn check_other(module: &Submodule, arch: Arch, pooled: Option<usize>) -> Result<(), String> {
    if module.has_children || is_inert(module) || is_of_training(module) {
        return Ok(());
    }
    match class(module) {
        "ReLU" | "GELU" | "SiLU" | "MaxPool2d" | "Linear" | "BatchNorm1d" if is_torchs(module) => {
            Ok(())
        }
        "Sequential" | "ModuleList" | "ModuleDict" | "FastAdaptiveAvgPool" => Ok(()),
        name @ ("AdaptiveAvgPool2d" | "AdaptiveMaxPool2d")
            if (name == "AdaptiveMaxPool2d") == (arch.family == Family::Sprint)
                && numbers(module, "output_size") == Some([1.0; 2]) =>
        {
            Ok(())
        }
        "AvgPool2d" if arch.shortcut == Shortcut::D && module.path.ends_with("downsample.0") => {
            require(module, "kernel_size", &[2.0; 2], 2.0)?;
            require(module, "stride", &[2.0; 2], 2.0)?;
            require(module, "padding", &[0.0; 2], 0.0)?;
            let is = |name: &str, value: bool| matches!(module.attribute(name), Some(Attribute::Bool(found)) if *found == value);
            match is("ceil_mode", true) && is("count_include_pad", false) {
                true => Ok(()),
                false => Err(other(module, "counts other pixels at the edge than timm's")),
            }
        }
        "AvgPool2d" if !module.path.contains("layer") => {
            let kernel = numbers(module, "kernel_size").unwrap_or_default();
            if pooled.is_some_and(|side| kernel == [side as f64; 2]) {
                return Ok(());
            }
            Err(other(module, &format!("averages over {0}x{0} pixels, not over all", kernel[0])))
        }
        // The paper's shortcuts have no layer of PyTorch's: people write their own.
        _ if (arch.family == Family::Paper || arch.shortcut == Shortcut::A)
            && !is_torchs(module)
            && matches!(module.path.rsplit('.').next(), Some("shortcut" | "downsample")) =>
        {
            Ok(())
        }
        _ => Err(other(module, "no network of the family has")),
    }
}

/// Losses and metrics are not part of the network's output.
fn is_of_training(module: &Submodule) -> bool {
    module.class.starts_with("torch.nn.modules.loss.") || module.class.starts_with("torchmetrics.")
}
