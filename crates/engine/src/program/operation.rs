//! One operation of a program.

use resnet_kernels::{batch_norm::BatchNormShape, linear::Linear};
use resnet_network::graph::NodeId;

use super::{Kind, Pass, Plain, Span};

/// One operation, and what it costs for the largest batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The unit that it belongs to; none for images, loss and update.
    pub unit: Option<usize>,
    /// The names of the nodes that it computes; empty where it is none of the graph's.
    pub names: Vec<String>,
    /// What it is, for people.
    pub kind: Kind,
    /// Where in the step.
    pub pass: Pass,
    /// What it computes.
    pub compute: Compute,
    /// Floating-point operations of the direct method, two for each multiply-accumulate; 0 for what
    /// is neither convolution nor linear layer.
    pub flops: u64,
    /// Bytes that it must at least read and write, each once.
    pub bytes: u64,
}

/// What an operation computes, on which parts of the buffers.
#[derive(Clone, Debug, PartialEq)]
pub enum Compute {
    /// The images into the layout of the first convolution.
    Images,
    /// The weights of the unit's convolution into the layout in which its pass reads them. A device
    /// that reads them as they are has nothing to do.
    Pack,
    /// `y = relu?(norm?(conv(x)) + residual?)`; all but the convolution in inference only.
    Conv {
        /// What it reads.
        x: Input,
        /// A batch norm of running statistics, folded into weights and a bias.
        norm: Option<NodeId>,
        /// What is added.
        residual: Option<Span>,
        /// Whether a ReLU ends it.
        relu: bool,
        /// The output.
        y: Span,
    },
    /// The gradient of a convolution's weights.
    ConvBackwardWeight {
        /// What it has read.
        x: Input,
        /// The output's gradient.
        dy: Span,
    },
    /// The gradient of a convolution's input.
    ConvBackwardData {
        /// The output's gradient.
        dy: Span,
        /// Where it goes.
        dx: Sink,
    },
    /// The batch's statistics alone: the batch norm is applied by the convolution that reads it.
    BatchNormStatistics {
        /// Of one image.
        norm: BatchNormShape,
        /// What it reads.
        x: Span,
        /// Where its statistics are kept.
        saved: Span,
    },
    /// `y = relu?(norm(x) + residual?)`.
    BatchNorm {
        /// Of one image.
        norm: BatchNormShape,
        /// What it reads.
        x: Span,
        /// Where the batch's statistics are kept; none in inference, which takes running ones.
        saved: Option<Span>,
        /// What is added.
        residual: Option<Span>,
        /// Whether a ReLU ends it.
        relu: bool,
        /// The output.
        y: Span,
    },
    /// The gradients of weight, bias, residual and input. That of the input replaces the output's
    /// in `dy`, and goes on to `dx` where that lies elsewhere.
    BatchNormBackward {
        /// Of one image.
        norm: BatchNormShape,
        /// What it has read.
        x: Span,
        /// What decides which gradients the ReLU lets through.
        gate: Gate,
        /// Where its statistics are kept.
        saved: Span,
        /// The output's gradient.
        dy: Span,
        /// Where the residual's gradient goes.
        d_residual: Option<Sink>,
        /// Where the input's gradient goes, if not to `dy`.
        dx: Option<Sink>,
    },
    /// An operation without parameters.
    Plain {
        /// Which.
        plain: Plain,
        /// What it reads.
        x: Span,
        /// What a sum adds.
        residual: Option<Span>,
        /// Whether a ReLU ends it.
        relu: bool,
        /// The output.
        y: Span,
    },
    /// The gradients of its inputs.
    PlainBackward {
        /// Which.
        plain: Plain,
        /// What it has read.
        x: Span,
        /// The output.
        y: Span,
        /// Whether a ReLU ends it.
        relu: bool,
        /// The output's gradient.
        dy: Span,
        /// Where the gradients go, one for each input.
        to: Vec<Sink>,
    },
    /// The logits.
    Linear {
        /// Inputs and outputs.
        linear: Linear,
        /// What it reads.
        x: Span,
    },
    /// The gradients of weight, bias and input.
    LinearBackward {
        /// Inputs and outputs.
        linear: Linear,
        /// What it has read.
        x: Span,
        /// Where the input's gradient goes: nothing else has written there before.
        dx: Span,
    },
    /// The loss, and the gradient of the logits.
    Loss,
    /// The optimiser's update, which follows the gradients.
    Update,
}

/// What a convolution reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The images.
    Images,
    /// A value.
    Value {
        /// Its place.
        at: Span,
        /// A batch norm with its ReLU that is applied as the value is read.
        through: Option<Through>,
    },
}

/// A batch norm, followed by a ReLU, that its reader applies.
#[derive(Clone, Debug, PartialEq)]
pub struct Through {
    /// Of one image.
    pub norm: BatchNormShape,
    /// Where its statistics are kept.
    pub saved: Span,
}

/// Where a gradient goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Its place.
    pub at: Span,
    /// Whether it is added to what a later reader of the value has left there.
    pub accumulate: bool,
}

/// The ReLU that follows a batch norm, in the backward pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    /// There is none.
    Open,
    /// The output's zeros block the gradient.
    Output(Span),
    /// The output is not stored: it is computed again from the input.
    Input,
}
