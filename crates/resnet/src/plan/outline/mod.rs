//! What a plan consists of: units and their memory, and the operations of a step.
//!
//! Bytes are counted from shapes: those that an operation must at least read and write, each once.

mod sketch;

use std::fmt;

use resnet_kernels::conv::Direction;

use crate::graph::{Graph, NodeId, Op, Shape};
pub use resnet_kernels::conv::Algorithm;

pub(super) use sketch::{Prepared, Sketch, algorithms};

/// A plan described, for one graph and its largest batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// In the order of the forward pass.
    pub units: Vec<UnitOutline>,
    /// In the order in which a step runs and reports them.
    pub operations: Vec<Operation>,
    /// What the plan holds.
    pub memory: Memory,
}

/// Nodes that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitOutline {
    /// The names of the nodes, in order.
    pub nodes: Vec<String>,
    /// What the first one computes.
    pub kind: Kind,
    /// The output of one image.
    pub output: Shape,
    /// How a convolution computes each direction that the plan needs.
    pub algorithms: Vec<(Pass, Algorithm)>,
    /// Bytes of the output; 0 for a batch norm that the convolution after it applies as it reads.
    pub activation_bytes: usize,
    /// Bytes of the output's gradient.
    pub gradient_bytes: usize,
    /// Bytes of packed weights.
    pub packed_bytes: usize,
    /// Bytes of scratch.
    pub scratch_bytes: usize,
}

/// Bytes that a plan holds. Units share them where their lifetimes allow it, so that the parts of
/// the units add up to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The images.
    pub images: usize,
    /// Outputs of units.
    pub activations: usize,
    /// Gradients of outputs.
    pub gradients: usize,
    /// Statistics of the batch.
    pub statistics: usize,
    /// Packed weights; in training those of the convolution at work alone.
    pub packed: usize,
    /// Scratch of the operation at work.
    pub scratch: usize,
    /// Logits and their gradients.
    pub logits: usize,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> usize {
        let Memory { images, activations, gradients, statistics, packed, scratch, logits } = self;
        images + activations + gradients + statistics + packed + scratch + logits
    }
}

/// What an operation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Images into the layout of the first convolution.
    Input,
    /// The convolution that reads the images.
    Stem,
    /// Any other convolution.
    Conv {
        /// Side of the kernel.
        kernel: usize,
        /// Step between output pixels.
        stride: usize,
    },
    /// Batch norm, with the sum and the ReLU that follow it.
    BatchNorm,
    /// Max pool or average pool.
    Pooling,
    /// The shortcut without parameters.
    Shortcut,
    /// A sum or a ReLU that nothing else computes along.
    Sum,
    /// The linear layer.
    Linear,
    /// The loss and the gradient of the logits.
    Loss,
    /// Weights on their way into the layout of a convolution.
    Packing,
    /// The optimiser's.
    Update,
}

impl Kind {
    fn new(graph: &Graph, id: NodeId) -> Self {
        let node = &graph.nodes()[id];
        match node.op {
            Op::Input => Kind::Input,
            Op::Conv2d { .. } if node.inputs[0] == Graph::INPUT => Kind::Stem,
            Op::Conv2d { kernel, stride, .. } => Kind::Conv { kernel, stride },
            Op::BatchNorm2d => Kind::BatchNorm,
            Op::Relu | Op::Add => Kind::Sum,
            Op::MaxPool2d { .. } | Op::GlobalAvgPool => Kind::Pooling,
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
            Kind::Conv { kernel, stride: 1 } => return write!(f, "{kernel}x{kernel} conv"),
            Kind::Conv { kernel, stride } => return write!(f, "{kernel}x{kernel}/{stride} conv"),
            Kind::BatchNorm => "batch norm",
            Kind::Pooling => "pooling",
            Kind::Shortcut => "shortcut",
            Kind::Sum => "add/ReLU",
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
    /// From images to loss.
    Forward,
    /// All gradients of an operation that computes them together.
    Backward,
    /// Gradients of inputs.
    BackwardData,
    /// Gradients of weights.
    BackwardWeight,
    /// What the optimiser does.
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

/// A part of a step, as the step reports it when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Images have been converted.
    Input,
    /// Weights of a unit's convolution have been packed for a pass.
    Packing(usize, Pass),
    /// A pass of a unit.
    Unit(usize, Pass),
    /// The loss.
    Loss,
    /// The update, which follows a plan's step.
    Update,
}

/// An operation of a step on the plan's largest batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// By which a step reports it.
    pub part: Part,
    /// The names of the nodes that it computes; empty where it is none of the graph's.
    pub nodes: Vec<String>,
    /// What it computes.
    pub kind: Kind,
    /// Where in the step.
    pub pass: Pass,
    /// How, for convolutions.
    pub algorithm: Option<Algorithm>,
    /// Operations of the direct method, two for each multiply-accumulate; 0 for what is neither
    /// convolution nor linear layer.
    pub flops: u64,
    /// Bytes that it must read and write.
    pub bytes: u64,
}

impl Operation {
    /// The update of so many parameters by stochastic gradient descent: it reads gradients, and
    /// reads and writes parameters and momentum.
    pub fn update(parameters: usize) -> Self {
        Operation {
            part: Part::Update,
            nodes: Vec::new(),
            kind: Kind::Update,
            pass: Pass::Update,
            algorithm: None,
            flops: 0,
            bytes: 5 * (parameters * size_of::<f32>()) as u64,
        }
    }
}
