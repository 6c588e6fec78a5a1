//! The list of operations, and what they share.

use resnet_kernels::{
    Dtype,
    conv::{ConvShape, Mode, Source},
    layout::ImageLayout,
};
use resnet_network::graph::{NodeId, Shape};

use super::{Kind, Operation, Span};

/// What runs, for one graph, one image size and up to one batch size.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Nodes that are computed together, in the order of the forward pass.
    pub layers: Vec<FusedLayer>,
    /// In the order in which they run.
    pub operations: Vec<Operation>,
    /// The largest batch.
    pub batch: usize,
    /// Logits of an image.
    pub classes: usize,
    /// How values and gradients are stored.
    pub dtype: Dtype,
    /// The layout of the images.
    pub image: ImageLayout,
    /// Elements of the values.
    pub values_len: usize,
    /// Elements of the gradients; 0 in inference.
    pub gradients_len: usize,
    /// Elements of the saved statistics; 0 in inference.
    pub saved_len: usize,
    /// Where a probe's value lies after the forward pass, and its shape.
    pub probe: Option<(Span, Shape)>,
}

impl Program {
    /// Values of the images, with their border.
    pub(crate) fn images_len(&self) -> usize {
        self.batch * self.image.image_len()
    }

    /// Logits of a batch.
    pub(crate) fn logits_len(&self) -> usize {
        self.batch * self.classes
    }
}

/// An operation of the network with what follows it in the same pass over memory.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedLayer {
    /// The node whose operation it is, and by which its parameters are found.
    pub head: NodeId,
    /// The names of its nodes, from the head to the last.
    pub names: Vec<String>,
    /// What the head computes.
    pub kind: Kind,
    /// The output of one image.
    pub output: Shape,
    /// For a convolution: its dimensions, how its input is stored, and the passes that it needs.
    pub conv: Option<(ConvShape, Source, Mode)>,
    /// The output's place among the values; none for the logits, and for a batch norm that its
    /// reader applies.
    pub value: Option<Span>,
    /// The place of the output's gradient; empty in inference and for the logits.
    pub gradient: Span,
    /// Bytes of its weights and biases.
    pub parameter_bytes: usize,
}
