//! ONNX to a network of the family.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    path::Path,
};

use resnet_formats::{
    FormatError, NamedTensors, Tensor,
    onnx::{self, Malformed, Model},
    safetensors::Metadata,
};

use super::walk::{Affine, Walked, walk};
use crate::{
    graph::{Graph, NodeId, Op},
    model_file::{
        key,
        metadata::json,
        preprocessing::{UsualResize, is_imagenet, leave_out_unreadable},
    },
    models::{Arch, match_arch, nearest_arch},
    preprocess::Normalisation,
};

/// What an ONNX file holds.
#[derive(Clone, Debug)]
pub struct Import {
    /// The architecture that its graph is of.
    pub arch: Arch,
    /// The state dict, under the architecture's own names.
    pub state: NamedTensors,
    /// The file's metadata, with what its graph says: `arch`, `image_size`, and `normalisation` where it
    /// normalises images itself; with the usual `resize` of a network for ImageNet.
    pub metadata: Metadata,
    /// What was left out or concluded, for people to know.
    pub notes: Vec<String>,
}

/// Reads a network of the family.
///
/// The whole graph is looked at, and its architecture is the one that computes the same; names do not
/// matter. Where a batch norm was folded into its convolution there is one that changes nothing but by
/// the bias.
///
/// # Errors
/// If the file cannot be read, is malformed, or its graph computes anything else than a network of the
/// family does.
pub fn import(path: &Path) -> Result<Import, FormatError> {
    let model = onnx::read(path)?;
    from_model(&model).map_err(|error| FormatError { path: path.to_owned(), kind: error.into() })
}

/// The network of a model; see [`import`].
///
/// # Errors
/// [`Malformed::Foreign`], if it is none of the family.
pub fn from_model(model: &Model) -> Result<Import, Malformed> {
    understand(model).map_err(Malformed::Foreign)
}

fn understand(model: &Model) -> Result<Import, String> {
    let Walked { graph, mut parameters, idle, input, pool, image_size, after } = walk(model)?;
    let foreign =
        || format!("computes another network than those of the family: {}", nearest_arch(&graph));
    let (arch, places) =
        match_arch(&graph).or_else(|| match_without(&graph, &idle)).ok_or_else(foreign)?;
    let mut metadata = model.metadata.clone();
    let mut notes = Vec::new();
    let is_own = metadata.contains_key(key::VERSION);
    if !is_own {
        notes.extend(leave_out_unreadable(&mut metadata));
    }
    // Other programs have other names for architectures.
    if let Some(named) = metadata.insert(key::ARCH.to_owned(), arch.to_string())
        && is_own
        && named.parse::<Arch>() != Ok(arch)
    {
        return Err(format!("names the architecture '{named}', and its graph is that of a {arch}"));
    }
    let width = graph.nodes()[1].channels;
    let own = arch.graph_with(graph.in_channels(), graph.classes(), width);
    let state = state(&own, &places, &mut parameters)?;
    if let Some(kernel) = pool {
        let side = image_size.unwrap_or(arch.image_size());
        let shapes = own.shapes(side, side).map_err(|error| format!("cannot run: {error}"))?;
        let last = own.nodes().iter().position(|node| node.op == Op::GlobalAvgPool);
        let found = last.map(|id| shapes[own.nodes()[id].inputs[0]]);
        if found.is_none_or(|shape| (shape.height, shape.width) != (kernel, kernel)) {
            return Err(format!(
                "averages over {kernel}x{kernel} pixels, which is not the whole of an image of \
                 {side}x{side}"
            ));
        }
    }
    if let Some(side) = image_size
        && !metadata.contains_key(key::IMAGE_SIZE)
    {
        metadata.insert(key::IMAGE_SIZE.to_owned(), json(&side));
        // The size of the input does not say that photos are not cropped to it.
        let is_stated = [key::CLASSES, key::RESIZE].iter().any(|key| metadata.contains_key(*key));
        if !is_stated && is_imagenet(arch, &own) {
            let usual = UsualResize::to(side);
            metadata.insert(key::RESIZE.to_owned(), json(&usual.resize));
            notes.push(usual.to_string());
        }
    }
    if let Some(affine) = input {
        let (normalisation, pixels) = normalisation(&affine, own.in_channels());
        notes.push(format!(
            "its graph normalises images of {pixels} itself: --mean {} --std {}",
            list(&normalisation.mean),
            list(&normalisation.std)
        ));
        metadata.insert(key::NORMALISATION.to_owned(), json(&normalisation));
    }
    if let Some(op) = after {
        notes.push(format!("the {op} after its logits is left out: probabilities are the same"));
    }
    Ok(Import { arch, state, metadata, notes })
}

/// [`match_arch`] of a graph without these nodes.
fn match_without(graph: &Graph, idle: &HashSet<NodeId>) -> Option<(Arch, Vec<NodeId>)> {
    let mut bare = Graph::new(graph.in_channels()).with_epsilon(graph.epsilon());
    // Of each node the one of the bare graph, and the other way round.
    let (mut to, mut from) = (vec![Graph::INPUT], vec![Graph::INPUT]);
    for (id, node) in graph.nodes().iter().enumerate().skip(1) {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| to[input]).collect();
        if idle.contains(&id) {
            to.push(inputs[0]);
            continue;
        }
        to.push(bare.push(node.name.clone(), node.op, &inputs, node.channels));
        from.push(id);
    }
    let (arch, places) = match_arch(&bare)?;
    Some((arch, places.into_iter().map(|place| from[place]).collect()))
}

/// The tensors of the layers, under the names that the architecture has for them.
fn state(
    own: &Graph,
    places: &[NodeId],
    parameters: &mut HashMap<NodeId, Vec<Cow<'_, Tensor>>>,
) -> Result<NamedTensors, String> {
    let mut state = NamedTensors::new();
    for (node, place) in own.nodes().iter().zip(places) {
        let names: &[&str] = match node.op {
            Op::Conv2d { .. } => &["weight"],
            Op::BatchNorm2d => &["weight", "bias", "running_mean", "running_var"],
            Op::Linear => &["weight", "bias"],
            _ => continue,
        };
        let tensors = parameters.remove(place).unwrap_or_default();
        if tensors.len() != names.len() {
            return Err(format!("has a bias in the convolution {}, and no batch norm", node.name));
        }
        for (name, tensor) in names.iter().zip(tensors) {
            state.push((format!("{}.{name}", node.name), tensor.into_owned()));
        }
    }
    Ok(state)
}

/// What `x * scale + shift` does to pixels in [0, 1], as a mean and a standard deviation; and of which
/// pixels it was meant.
fn normalisation(affine: &Affine, channels: usize) -> (Normalisation, &'static str) {
    // No pixels in [0, 1] are divided by so much; those of 0 to 255 are.
    const LARGE: f64 = 8.0;
    let bytes = affine.scale.iter().all(|scale| scale.abs().recip() > LARGE);
    let (unit, pixels) = if bytes { (255.0, "0 to 255") } else { (1.0, "0 to 1") };
    let at = |values: &[f64], i: usize| values[if values.len() == 1 { 0 } else { i }];
    let channel = |i: usize| {
        let (scale, shift) = (at(&affine.scale, i) * unit, at(&affine.shift, i));
        ((-shift / scale) as f32, scale.recip() as f32)
    };
    let (mean, std) = (0..channels).map(channel).unzip();
    (Normalisation::new(mean, std), pixels)
}

fn list(values: &[f32]) -> String {
    values.iter().map(f32::to_string).collect::<Vec<_>>().join(",")
}
