//! The family made for speed: few, wide layers, and small maps early.

use super::{Arch, arch::SPRINT_STEM, name::is_sprint_width};
use crate::graph::{Graph, NodeId, Op};

/// Channels of a stage that has `stage` of the family's, behind a stem of `stem`.
fn scaled(stage: usize, stem: usize) -> usize {
    (stage.saturating_mul(stem) / SPRINT_STEM).max(1)
}

/// Channels of a stage of the family's, from those of a network with a stem of `stem`.
fn unscaled(stage: usize, stem: usize) -> Option<usize> {
    let width = stage.checked_mul(SPRINT_STEM)?.checked_div(stem)?;
    (is_sprint_width(width) && scaled(width, stem) == stage).then_some(width)
}

/// The convolutions of each stage. Those that three stages cannot share are in the last ones, where maps
/// are small.
pub(super) fn convs(depth: usize) -> [usize; 3] {
    let convs = depth - 2;
    [0, 1, 2].map(|stage| (convs + stage) / 3)
}

/// The network with channels of its own, from those that one with a stem of `stem` has in its stages and
/// the number of convolutions in each; None if it has no name.
pub(super) fn with_widths(
    arch: Arch,
    stem: usize,
    stages: [usize; 3],
    of_stages: [usize; 3],
) -> Option<Arch> {
    let [first, second, third] = stages.map(|stage| unscaled(stage, stem));
    let depth = of_stages.into_iter().try_fold(2, usize::checked_add)?;
    let known = arch.family.has_depth(depth) && convs(depth) == of_stages;
    known.then_some(Arch { depth, widths: [first?, second?, third?], ..arch })
}

/// The graph, with `stem` channels in the first convolution.
pub(super) fn build(arch: &Arch, in_channels: usize, classes: usize, stem: usize) -> Graph {
    let mut g = Graph::new(in_channels).with_epsilon(arch.epsilon);
    let x = g.conv2d("conv1", Graph::INPUT, stem, 3, 1, 1);
    let mut x = g.activation(format!("{}1", arch.activation.module()), arch.activation, x);
    let convs = convs(arch.known_depth());
    for (index, (width, convs)) in arch.widths.into_iter().zip(convs).enumerate() {
        let name = format!("layer{}.", index + 1);
        x = stage(&mut g, arch, &name, x, scaled(width, stem), convs);
    }
    let pooled = g.global_max_pool("maxpool", x);
    g.linear(arch.family.head(), pooled, classes);
    g
}

/// A convolution and a max pool, and a block over the convolutions that follow.
fn stage(
    g: &mut Graph,
    arch: &Arch,
    name: &str,
    x: NodeId,
    channels: usize,
    convs: usize,
) -> NodeId {
    let conv = |g: &mut Graph, index: usize, x: NodeId| {
        g.conv2d(format!("{name}conv{index}"), x, channels, 3, 1, 1)
    };
    let y = conv(g, 1, x);
    let y = g.max_pool2d(format!("{name}pool"), y, 2, 2, 0);
    let activation = |index: usize| format!("{name}{}{index}", arch.activation.module());
    let first = g.batch_norm2d(format!("{name}bn1"), y);
    let first = g.activation(activation(1), arch.activation, first);
    let mut y = first;
    for index in 2..=convs {
        y = conv(g, index, y);
        y = g.batch_norm2d(format!("{name}bn{index}"), y);
        if index == convs && arch.residual {
            y = g.add(format!("{name}add"), y, first);
        }
        y = g.activation(activation(index), arch.activation, y);
    }
    y
}

/// Whether a graph has the shape of this family: the pool before its head.
pub(super) fn is_sprint(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| node.op == Op::GlobalMaxPool)
}
