//! Kinds of operations and passes, as reports name them.

use std::fmt;

use resnet_kernels::conv::Direction;
use resnet_network::graph::{Graph, NodeId, Op};

/// Kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Conversion of images to the layout of the first convolution.
    Input,
    /// The convolution that reads the images.
    Stem,
    /// Any other convolution.
    Conv {
        /// Side of the kernel.
        kernel: usize,
        /// Step between output pixels.
        stride: usize,
        /// Whether it has groups.
        groups: bool,
    },
    /// Batch norm, with the addition and activation that are fused into it.
    BatchNorm,
    /// Max pool or average pool.
    Pooling,
    /// The parameter-free shortcut (option A).
    Shortcut,
    /// An addition or a ReLU that is not fused into another operation.
    AddRelu,
    /// Another activation that is not fused into another operation.
    Activation,
    /// The linear layer.
    Linear,
    /// The loss and the gradient of the logits.
    Loss,
    /// Packing of a convolution's weights.
    Packing,
    /// The optimiser's update.
    Update,
}

impl Kind {
    /// The kind of a node.
    pub(crate) fn new(graph: &Graph, id: NodeId) -> Self {
        let node = &graph.nodes()[id];
        match node.op {
            Op::Input => Kind::Input,
            Op::Conv2d { .. } if node.inputs[0] == Graph::INPUT => Kind::Stem,
            Op::Conv2d { kernel, stride, groups, .. } => {
                Kind::Conv { kernel, stride, groups: groups > 1 }
            }
            Op::BatchNorm2d => Kind::BatchNorm,
            Op::Relu | Op::Add => Kind::AddRelu,
            Op::Gelu { .. } | Op::Silu => Kind::Activation,
            Op::MaxPool2d { .. } | Op::AvgPool2d { .. } | Op::GlobalAvgPool | Op::GlobalMaxPool => {
                Kind::Pooling
            }
            Op::Linear => Kind::Linear,
            Op::PadShortcut { .. } => Kind::Shortcut,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Input => "input",
            Kind::Stem => "stem",
            Kind::Conv { kernel, stride, groups } => {
                let step = if *stride > 1 { format!("/{stride}") } else { String::new() };
                let suffix = if *groups { ", groups" } else { "" };
                return write!(f, "{kernel}x{kernel}{step} conv{suffix}");
            }
            Kind::BatchNorm => "batch norm",
            Kind::Pooling => "pooling",
            Kind::Shortcut => "shortcut",
            Kind::AddRelu => "add/ReLU",
            Kind::Activation => "activation",
            Kind::Linear => "linear",
            Kind::Loss => "loss",
            Kind::Packing => "packing",
            Kind::Update => "update",
        })
    }
}

/// The pass of a step that an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// From the images to the loss.
    Forward,
    /// All gradients of an operation, computed together.
    Backward,
    /// Gradients of inputs.
    BackwardData,
    /// Gradients of weights.
    BackwardWeight,
    /// The optimiser's update.
    Update,
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pass::Forward => "forward",
            Pass::Backward => "backward",
            Pass::BackwardData => "backward-data",
            Pass::BackwardWeight => "backward-weight",
            Pass::Update => "update",
        })
    }
}

impl From<Direction> for Pass {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Forward => Pass::Forward,
            Direction::BackwardData => Pass::BackwardData,
            Direction::BackwardWeight => Pass::BackwardWeight,
        }
    }
}
