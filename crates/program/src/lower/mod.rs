//! Lowers a graph to a [program](crate::program).
//!
//! Nodes are fused into groups that one pass over memory computes. Values and gradients get places
//! in the buffers by lifetime. Then the operations are listed; backward is the forward list in
//! reverse. There is no tape and no automatic differentiation, since the topology is fixed.
//!
//! A device decides one thing: which convolutions can fuse the batch norm and ReLU before them into
//! their load. The batch norm's output is then never stored.

mod builder;
mod cost;
mod fusion;
mod inference;
mod layout;
mod memory;
mod sizes;
mod training;

pub use builder::Lowering;
pub use inference::inference;
pub use training::training;

use resnet_kernels::conv::{ConvShape, Mode, Source};
use resnet_network::graph::{Graph, Op};

use crate::error::PlanError;

/// The convolutions of a graph: dimensions, storage of the input, and passes.
pub fn convolutions(
    lowering: Lowering<'_>,
    mode: Mode,
) -> Result<Vec<(ConvShape, Source, Mode)>, PlanError> {
    let Lowering { graph, batch, height, width, .. } = lowering;
    let sizes = sizes::Sizes::new(graph, batch, height, width)?;
    let nodes = graph.nodes().iter().enumerate();
    let convs = nodes.filter(|(_, node)| matches!(node.op, Op::Conv2d { .. }));
    Ok(convs.map(|(id, node)| sizes.conv(id, node, mode)).collect())
}

/// Bytes of one image in inference: its input and the values that are live at the same time.
pub fn image_bytes(lowering: Lowering<'_>) -> Result<usize, PlanError> {
    let Lowering { graph, dtype, height, width, .. } = lowering;
    let sizes = sizes::Sizes::new(graph, 1, height, width)?;
    let image = sizes.image(graph).image_len();
    let (_, all) = values_per_image(graph, height, width)?;
    Ok(image * size_of::<f32>() + (all - image) * dtype.size())
}

/// Values per image that training and inference hold: inputs, outputs and gradients, without
/// weights and scratch memory.
///
/// # Errors
/// If the graph does not fit the images, or breaks a rule.
pub fn values_per_image(
    graph: &Graph,
    height: usize,
    width: usize,
) -> Result<(usize, usize), PlanError> {
    let sizes = sizes::Sizes::new(graph, 1, height, width)?;
    let groups = fusion::fusion_groups(graph, false)?;
    let training = layout::Layout::new(graph, &groups, &vec![false; groups.len()], &sizes);
    let inference = layout::places(graph, &fusion::fusion_groups(graph, true)?, &sizes, &[]).1;
    let image = sizes.image(graph).image_len();
    Ok((image + training.values_len + training.gradients_len, image + inference))
}
