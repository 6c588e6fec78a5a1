//! Nodes: the operations of a network.

use super::Activation;

/// Index of a node in [`Graph::nodes`](super::Graph::nodes).
pub type NodeId = usize;

/// What a node computes. Activations are images of `channels` x height x width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The batch of images. Always node 0.
    Input,
    /// `torch.nn.Conv2d(bias=False)` with a square kernel.
    Conv2d {
        /// Side of the kernel.
        kernel: usize,
        /// Step between output pixels.
        stride: usize,
        /// Zeros around the image.
        padding: usize,
        /// Groups of channels: each group of outputs reads a group of inputs.
        groups: usize,
    },
    /// `torch.nn.BatchNorm2d`, with the graph's epsilon.
    BatchNorm2d,
    /// `torch.nn.ReLU`.
    Relu,
    /// `torch.nn.GELU`.
    Gelu {
        /// Whether the distribution function is approximated by a tanh (`approximate="tanh"`).
        tanh: bool,
    },
    /// `torch.nn.SiLU`.
    Silu,
    /// Sum of two activations of equal shape.
    Add,
    /// `torch.nn.MaxPool2d`.
    MaxPool2d {
        /// Side of the window.
        kernel: usize,
        /// Step between windows.
        stride: usize,
        /// Border of minus infinity around the image.
        padding: usize,
    },
    /// Mean over windows next to each other, those at the edges cut off:
    /// `torch.nn.AvgPool2d(kernel, ceil_mode=True, count_include_pad=False)`.
    AvgPool2d {
        /// Side of the window, and step between windows.
        kernel: usize,
    },
    /// Mean over height and width: `torch.nn.AdaptiveAvgPool2d(1)`.
    GlobalAvgPool,
    /// Largest value over height and width: `torch.nn.AdaptiveMaxPool2d(1)`.
    GlobalMaxPool,
    /// `torch.nn.Linear` with bias, on a 1x1 image.
    Linear,
    /// The paper's parameter-free shortcut (option A, section 3.3): every `stride`-th pixel, and
    /// zero channels on both sides up to the node's channel count.
    PadShortcut {
        /// Step between the pixels that are kept.
        stride: usize,
    },
}

/// A node of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The PyTorch module path, or a descriptive one for operations that are no module in PyTorch.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, all earlier in the list.
    pub inputs: Vec<NodeId>,
    /// Channels of its output (classes, for the last linear node).
    pub channels: usize,
}

impl From<Activation> for Op {
    fn from(activation: Activation) -> Op {
        match activation {
            Activation::Relu => Op::Relu,
            Activation::Gelu => Op::Gelu { tanh: false },
            Activation::GeluTanh => Op::Gelu { tanh: true },
            Activation::Silu => Op::Silu,
        }
    }
}

impl Op {
    /// The activation function that it is.
    pub fn activation(self) -> Option<Activation> {
        Activation::ALL.into_iter().find(|&activation| Op::from(activation) == self)
    }
}

impl Node {
    /// The number of weights and of biases, for `inputs` input channels.
    pub fn parameters(&self, inputs: usize) -> (usize, usize) {
        match self.op {
            Op::Conv2d { kernel, groups, .. } => {
                (self.channels * (inputs / groups) * kernel * kernel, 0)
            }
            Op::BatchNorm2d => (self.channels, self.channels),
            Op::Linear => (self.channels * inputs, self.channels),
            Op::Input
            | Op::Relu
            | Op::Gelu { .. }
            | Op::Silu
            | Op::Add
            | Op::MaxPool2d { .. }
            | Op::AvgPool2d { .. }
            | Op::GlobalAvgPool
            | Op::GlobalMaxPool
            | Op::PadShortcut { .. } => (0, 0),
        }
    }

    /// Whether it has parameters.
    pub fn has_parameters(&self) -> bool {
        matches!(self.op, Op::Conv2d { .. } | Op::BatchNorm2d | Op::Linear)
    }

    /// Multiply-accumulates for one image. As in torchvision, only convolutions and linear layers
    /// count.
    pub fn macs(&self, inputs: usize, output: Shape) -> usize {
        match self.op {
            Op::Conv2d { .. } | Op::Linear => {
                self.parameters(inputs).0 * output.height * output.width
            }
            _ => 0,
        }
    }
}

/// Shape of an activation for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Number of values.
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether there are no values.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}
