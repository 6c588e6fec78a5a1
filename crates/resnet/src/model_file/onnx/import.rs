//! Imports a state dict from ONNX.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use resnet_formats::{
    FormatError, NamedTensors, Tensor,
    onnx::{self, Attribute, Malformed, Model, Node},
    safetensors::Metadata,
};

use super::EPSILON;

/// Reads the state dict of a ResNet and the file's metadata. Files of [`export`](super::export) and
/// of `torch.onnx.export` are supported: torchvision's networks, and others with the same module
/// names. A batch norm that was folded into its convolution becomes one that only adds the bias.
/// The graph between the layers is not read: as for a state dict, the architecture defines it.
///
/// # Errors
/// If the file cannot be read, is malformed, or is not a network of the family.
pub fn import(path: &Path) -> Result<(NamedTensors, Metadata), FormatError> {
    let model = onnx::read(path)?;
    let state = state_dict(&model)
        .map_err(|error| FormatError { path: path.to_owned(), kind: error.into() })?;
    Ok((state, model.metadata))
}

/// The state dict of an ONNX model, as [`import`] reads it.
///
/// # Errors
/// [`Malformed::Foreign`] if the model is not a network of the family.
pub fn state_dict(model: &Model) -> Result<NamedTensors, Malformed> {
    convert(model).map_err(Malformed::Foreign)
}

fn convert(model: &Model) -> Result<NamedTensors, String> {
    let values = Values::new(model);
    let nodes = &model.graph.nodes;
    let norms = nodes.iter().filter(|node| node.op == "BatchNormalization");
    let normed: HashSet<Option<&String>> = norms.map(|node| node.inputs.first()).collect();
    let mut state = StateDict::new(model);
    for node in nodes {
        match node.op.as_str() {
            "Conv" => {
                let module = module(node)?;
                let weight = values.of(node, 1)?;
                state.add(&module, "weight", weight)?;
                let bias = node.inputs.get(2).map(|_| values.of(node, 2)).transpose()?;
                if !normed.contains(&node.outputs.first()) {
                    let channels = weight.shape.first().copied().unwrap_or_default();
                    state.add_identity(&norm_name(&module)?, channels, bias)?;
                } else if bias.is_some() {
                    return Err(format!("has a bias and a batch norm after {module}"));
                }
            }
            "BatchNormalization" => {
                let module = module(node)?;
                check_epsilon(node, &module)?;
                let names = ["weight", "bias", "running_mean", "running_var"];
                for (index, name) in names.into_iter().enumerate() {
                    state.add(&module, name, values.of(node, index + 1)?)?;
                }
            }
            "Gemm" => {
                let module = module(node)?;
                check_linear(node, &module)?;
                for (index, name) in ["weight", "bias"].into_iter().enumerate() {
                    state.add(&module, name, values.of(node, index + 1)?)?;
                }
            }
            _ => {}
        }
    }
    if state.tensors.is_empty() {
        return Err("has no layer with parameters: it is not a ResNet".to_owned());
    }
    Ok(state.tensors)
}

/// The state dict so far.
struct StateDict {
    tensors: NamedTensors,
    names: HashSet<String>,
    /// How many more values are allowed: nodes can share tensors.
    left: usize,
}

impl StateDict {
    fn new(model: &Model) -> Self {
        let held = model.graph.initializers.iter().map(|(_, tensor)| tensor.data.len());
        // A 1x1 convolution of one channel has four more values for its batch norm.
        StateDict { tensors: Vec::new(), names: HashSet::new(), left: 8 * held.sum::<usize>() }
    }

    fn reserve(&mut self, values: usize) -> Result<(), String> {
        self.left = self
            .left
            .checked_sub(values)
            .ok_or_else(|| "uses the same tensors over and over: it is not a ResNet".to_owned())?;
        Ok(())
    }

    fn add(&mut self, module: &str, name: &str, tensor: &Tensor) -> Result<(), String> {
        self.reserve(tensor.data.len())?;
        let name = format!("{module}.{name}");
        if !self.names.insert(name.clone()) {
            return Err(format!("has several layers '{module}'"));
        }
        self.tensors.push((name, tensor.clone()));
        Ok(())
    }

    /// A batch norm that only adds a bias, bit-exactly: sqrt(variance + eps) is 1 in f32.
    fn add_identity(
        &mut self,
        module: &str,
        channels: usize,
        bias: Option<&Tensor>,
    ) -> Result<(), String> {
        self.reserve(channels)?;
        let filled = |value: f32| Tensor::f32(&[channels], vec![value; channels]);
        self.add(module, "weight", &filled(1.0))?;
        self.add(module, "bias", bias.unwrap_or(&filled(0.0)))?;
        self.add(module, "running_mean", &filled(0.0))?;
        self.add(module, "running_var", &filled((1.0 - EPSILON) as f32))
    }
}

/// The initialisers of a graph, under all their names.
struct Values<'a> {
    tensors: HashMap<&'a str, &'a Tensor>,
    /// Other names: PyTorch stores equal tensors once, with `Identity` nodes for the rest.
    same: HashMap<&'a str, &'a str>,
}

impl<'a> Values<'a> {
    fn new(model: &'a Model) -> Self {
        let graph = &model.graph;
        let same = graph.nodes.iter().filter(|node| node.op == "Identity").filter_map(|node| {
            Some((node.outputs.first()?.as_str(), node.inputs.first()?.as_str()))
        });
        Values {
            tensors: graph.initializers.iter().map(|(n, t)| (n.as_str(), t)).collect(),
            same: same.collect(),
        }
    }

    /// The initialiser that is a node's input.
    fn of(&self, node: &Node, index: usize) -> Result<&'a Tensor, String> {
        let name = node.inputs.get(index).map_or("", String::as_str);
        let name = self.same.get(name).copied().unwrap_or(name);
        let found = self.tensors.get(name).copied();
        found.ok_or_else(|| {
            format!(
                "holds no tensor '{name}', which node '{}' reads: if it computes it, export the \
                 model with optimisation",
                node.name
            )
        })
    }
}

/// The PyTorch module of a node: from its weight's name, else from its own name, which lists the
/// enclosing modules (`/layer1/layer1.0/conv1/Conv`).
fn module(node: &Node) -> Result<String, String> {
    if let Some(module) = node.inputs.get(1).and_then(|name| name.strip_suffix(".weight")) {
        return Ok(module.to_owned());
    }
    let mut path: Vec<&str> = Vec::new();
    for part in node.name.split('/').filter(|part| !part.is_empty()) {
        // A module of a sequence is named after it.
        let within = |&last: &&str| part.strip_prefix(last).is_some_and(|r| r.starts_with('.'));
        if path.last().is_some_and(within) {
            path.pop();
        }
        path.push(part);
    }
    match path.pop() {
        Some(op) if op == node.op && !path.is_empty() => Ok(path.join(".")),
        _ => Err(format!(
            "does not name the module of node '{}': export it with the names of its parameters",
            node.name
        )),
    }
}

/// The name of the batch norm after a convolution: `bn1` after `conv1`, `downsample.1` after
/// `downsample.0`.
fn norm_name(conv: &str) -> Result<String, String> {
    let (path, name) = match conv.rsplit_once('.') {
        Some((path, name)) => (format!("{path}."), name),
        None => (String::new(), conv),
    };
    match (name, name.strip_prefix("conv")) {
        ("0", _) => Ok(format!("{path}1")),
        (_, Some(number)) => Ok(format!("{path}bn{number}")),
        _ => Err(format!("has a convolution '{conv}', which no ResNet has")),
    }
}

fn check_epsilon(node: &Node, module: &str) -> Result<(), String> {
    match attribute(node, "epsilon") {
        Some(Attribute::Float(epsilon)) if *epsilon != EPSILON as f32 => {
            Err(format!("has a batch norm {module} with an epsilon of {epsilon}, not {EPSILON}"))
        }
        _ => Ok(()),
    }
}

/// PyTorch's layer is `x * weight^T + bias`.
fn check_linear(node: &Node, module: &str) -> Result<(), String> {
    let is = |name, value| attribute(node, name) == Some(&Attribute::Int(value));
    let scaled = |name| attribute(node, name).is_some_and(|v| *v != Attribute::Float(1.0));
    if !is("transB", 1) || is("transA", 1) || scaled("alpha") || scaled("beta") {
        return Err(format!("has a linear layer {module} whose operands are transposed or scaled"));
    }
    Ok(())
}

fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    node.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value)
}
