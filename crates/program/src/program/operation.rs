//! One operation of a program.

use resnet_kernels::{Activation, Smooth, batch_norm::BatchNormShape, linear::Linear};
use resnet_network::graph::NodeId;

use super::{Kind, Parameterless, Pass, Span};

/// One operation, and its cost for the largest batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Index of its fused layer; none for images, loss and update.
    pub layer: Option<usize>,
    /// Names of the graph's nodes that it computes; empty for loss and update.
    pub names: Vec<String>,
    /// Its kind, as reports name it.
    pub kind: Kind,
    /// The pass of the step that it belongs to.
    pub pass: Pass,
    /// What it computes.
    pub compute: Compute,
    /// Floating-point operations by the direct method, two per multiply-accumulate; 0 for other
    /// operations than convolutions and linear layers.
    pub flops: u64,
    /// Least memory traffic: bytes read and written, each once.
    pub bytes: u64,
}

/// What an operation computes, and the ranges of the buffers that it reads and writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Compute {
    /// Converts the images to the layout of the first convolution.
    Images,
    /// Packs the weights of the layer's convolution for one pass. A device that reads them unpacked
    /// does nothing here.
    Pack,
    /// `y = relu?(norm?(conv(x)) + residual?)`. Norm, residual and ReLU are fused in inference
    /// only.
    Conv {
        /// Input.
        x: ConvOperand,
        /// A batch norm with running statistics, folded into weights and bias.
        norm: Option<NodeId>,
        /// Added before the ReLU.
        residual: Option<Span>,
        /// Whether a ReLU follows.
        relu: bool,
        /// Output.
        y: Span,
    },
    /// The gradient of a convolution's weight.
    ConvBackwardWeight {
        /// Input of the forward pass.
        x: ConvOperand,
        /// Gradient of the output.
        dy: Span,
    },
    /// The gradient of a convolution's input.
    ConvBackwardData {
        /// Gradient of the output.
        dy: Span,
        /// Gradient of the input.
        dx: Sink,
    },
    /// The batch statistics alone: this batch norm is fused into the next convolution's load.
    BatchNormStatistics {
        /// Dimensions for one image.
        norm: BatchNormShape,
        /// Input.
        x: Span,
        /// Statistics for the backward pass.
        saved: Span,
        /// Whether these are the running statistics, which stay as they are.
        running: bool,
    },
    /// `y = activation?(norm(x) + residual?)`.
    BatchNorm {
        /// Dimensions for one image.
        norm: BatchNormShape,
        /// Input.
        x: Span,
        /// Statistics for the backward pass; none in inference, which uses running statistics.
        saved: Option<Span>,
        /// Whether it normalises with the running statistics, which stay as they are; always in inference.
        running: bool,
        /// Added before the activation.
        residual: Option<Span>,
        /// The activation that follows.
        activation: Option<Activation>,
        /// Output.
        y: Span,
    },
    /// The gradients of weight, bias, residual and input. The input's gradient overwrites the
    /// output's in `dy`, and is copied to `dx` where that is another place.
    BatchNormBackward {
        /// Dimensions for one image.
        norm: BatchNormShape,
        /// Input of the forward pass.
        x: Span,
        /// The activation's slope.
        slope: Slope,
        /// Statistics for the backward pass.
        saved: Span,
        /// Whether these are the running statistics, so that the input's gradient is the output's times the
        /// scale.
        running: bool,
        /// Gradient of the output.
        dy: Span,
        /// Gradient of the residual.
        d_residual: Option<Sink>,
        /// Gradient of the input, if it is not in the place of `dy`.
        dx: Option<Sink>,
    },
    /// An operation without parameters.
    Parameterless {
        /// The operation.
        op: Parameterless,
        /// Input.
        x: Span,
        /// Second operand of an addition.
        residual: Option<Span>,
        /// Whether a ReLU follows.
        relu: bool,
        /// Output.
        y: Span,
    },
    /// The gradients of the inputs of an operation without parameters.
    ParameterlessBackward {
        /// The operation.
        op: Parameterless,
        /// Input of the forward pass.
        x: Span,
        /// Output.
        y: Span,
        /// Whether a ReLU follows.
        relu: bool,
        /// Gradient of the output.
        dy: Span,
        /// Gradients of the inputs, in their order.
        to: Vec<Sink>,
    },
    /// The linear layer, which computes the logits.
    Linear {
        /// Dimensions.
        linear: Linear,
        /// Input.
        x: Span,
    },
    /// The gradients of the linear layer's weight, bias and input.
    LinearBackward {
        /// Dimensions.
        linear: Linear,
        /// Input of the forward pass.
        x: Span,
        /// Gradient of the input. It is the first to be written there.
        dx: Span,
    },
    /// The cross entropy, and its gradient with respect to the logits.
    Loss,
    /// The optimiser's update.
    Update,
}

/// The input of a convolution.
#[derive(Clone, Debug, PartialEq)]
pub enum ConvOperand {
    /// The images.
    Images,
    /// A value of the buffer.
    Value {
        /// Its place.
        at: Span,
        /// A batch norm and ReLU that the convolution applies as it loads the value.
        fused_norm: Option<FusedNorm>,
    },
}

/// A batch norm and ReLU, fused into the load of the convolution that reads them.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedNorm {
    /// Dimensions for one image.
    pub norm: BatchNormShape,
    /// Its statistics.
    pub saved: Span,
}

/// The place that a gradient is written to.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Its place.
    pub at: Span,
    /// Whether to add to the gradient from another reader of the value, or to overwrite.
    pub accumulate: bool,
}

/// The slope of the activation after a batch norm, in the backward pass: what gradients are multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub enum Slope {
    /// No activation: every gradient passes.
    None,
    /// A ReLU: gradients pass where the stored output is above zero.
    Output(Span),
    /// A ReLU whose output is not stored, and is recomputed from the input.
    Recomputed,
    /// A smooth activation, whose input is recomputed from the batch norm's.
    Smooth {
        /// The activation.
        function: Smooth,
        /// The value that was added to the batch norm's output.
        residual: Option<Span>,
    },
}
