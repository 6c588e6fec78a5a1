//! The parameters and running statistics of a graph, and their ranges in the arenas.

use std::ops::Range;

use crate::graph::{Graph, Node, NodeId, Op};

/// Kind of a parameter, which decides its initialisation and weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Weight of a convolution. In the arena it is `[out][row][column][in]`, PyTorch's
    /// `channels_last`.
    ConvWeight,
    /// Weight of a batch norm.
    NormWeight,
    /// Bias of a batch norm.
    NormBias,
    /// Weight of a linear layer.
    LinearWeight,
    /// Bias of a linear layer.
    LinearBias,
}

impl ParamKind {
    /// Whether it is the weight of a convolution or a linear layer: not a bias, nor of a batch
    /// norm.
    pub fn is_weight(self) -> bool {
        matches!(self, ParamKind::ConvWeight | ParamKind::LinearWeight)
    }
}

/// A parameter of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// State-dict key.
    pub name: String,
    /// Shape in PyTorch.
    pub shape: Vec<usize>,
    /// Its kind.
    pub kind: ParamKind,
    /// The node it belongs to.
    pub node: NodeId,
    /// Its range in the arena.
    pub range: Range<usize>,
}

/// The running statistics of a batch norm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) node: NodeId,
    pub(super) mean: Range<usize>,
    pub(super) var: Range<usize>,
}

/// The parameters and running statistics of a graph, in the order of its nodes.
pub(super) fn inventory(graph: &Graph) -> (Vec<Param>, Vec<Stats>) {
    let (mut params, mut stats) = (Vec::<Param>::new(), Vec::<Stats>::new());
    for (node, Node { name, op, channels, .. }) in graph.nodes().iter().enumerate() {
        for (suffix, shape, kind) in parameters(graph, node) {
            let start = params.last().map_or(0, |p| p.range.end);
            let range = start..start + shape.iter().product::<usize>();
            params.push(Param { name: format!("{name}.{suffix}"), shape, kind, node, range });
        }
        if *op == Op::BatchNorm2d {
            let start = stats.last().map_or(0, |s| s.var.end);
            let middle = start + channels;
            stats.push(Stats { node, mean: start..middle, var: middle..middle + channels });
        }
    }
    (params, stats)
}

/// The parameters of a node: name suffix, shape and kind.
pub(super) fn parameters(graph: &Graph, id: NodeId) -> Vec<(&'static str, Vec<usize>, ParamKind)> {
    let node = &graph.nodes()[id];
    let inputs = node.inputs.first().map_or(0, |&i| graph.nodes()[i].channels);
    let out = node.channels;
    match node.op {
        Op::Conv2d { kernel, groups, .. } => {
            vec![("weight", vec![out, inputs / groups, kernel, kernel], ParamKind::ConvWeight)]
        }
        Op::BatchNorm2d => vec![
            ("weight", vec![out], ParamKind::NormWeight),
            ("bias", vec![out], ParamKind::NormBias),
        ],
        Op::Linear => vec![
            ("weight", vec![out, inputs], ParamKind::LinearWeight),
            ("bias", vec![out], ParamKind::LinearBias),
        ],
        _ => vec![],
    }
}
