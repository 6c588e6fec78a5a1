//! The program: the list of operations, the fused layers and the sizes of the buffers.

use resnet_kernels::{
    Dtype,
    conv::{ConvShape, Mode, Source},
    layout::{ImageLayout, padded},
};
use resnet_network::graph::{NodeId, Shape};

use super::{Compute, Kind, Operation, Pass, Span};

/// The operations for one graph, one image size and a largest batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Fused layers, in the order of the forward pass.
    pub layers: Vec<FusedLayer>,
    /// Operations, in the order in which they run.
    pub operations: Vec<Operation>,
    /// Images of the largest batch.
    pub batch: usize,
    /// Logits per image.
    pub classes: usize,
    /// Storage type of values and gradients.
    pub dtype: Dtype,
    /// The layout of the images.
    pub image: ImageLayout,
    /// Length of the buffer of values.
    pub values_len: usize,
    /// Length of the buffer of gradients; 0 in inference.
    pub gradients_len: usize,
    /// Length of the buffer of saved statistics; 0 in inference.
    pub saved_len: usize,
    /// The values that can be read after the forward pass.
    pub probes: Vec<Probe>,
}

/// A value that can be read after the forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The node that it is of.
    pub node: NodeId,
    /// Its place in the buffer of values.
    pub place: Span,
    /// Its shape for one image.
    pub shape: Shape,
}

/// The linear layer at the end of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The index of its operation.
    pub operation: usize,
    /// The first value of what enters it.
    pub start: usize,
    /// Values of an image that enter it: its inputs, padded.
    pub features: usize,
}

impl Head {
    /// The place of what enters it for so many images.
    pub fn input(&self, images: usize) -> Span {
        self.start..self.start + images * self.features
    }
}

impl Program {
    /// The head of the network.
    pub fn head(&self) -> Head {
        let mut operations = self.operations.iter().enumerate();
        let head = operations.find_map(|(operation, found)| match &found.compute {
            Compute::Linear { linear, x } => {
                Some(Head { operation, start: x.start, features: padded(linear.inputs) })
            }
            _ => None,
        });
        head.expect("a network ends in a linear layer")
    }

    /// Whether no gradient of anything before the head is computed.
    pub fn trains_only_its_head(&self) -> bool {
        let is_of_head = |compute: &Compute| {
            matches!(compute, Compute::Loss | Compute::LinearBackward { .. } | Compute::Update)
        };
        let operations = self.operations.iter();
        operations.filter(|one| one.pass != Pass::Forward).all(|one| is_of_head(&one.compute))
    }

    /// Length of the buffer of images, border included.
    pub fn images_len(&self) -> usize {
        self.batch * self.image.image_len()
    }

    /// Length of the buffer of logits.
    pub fn logits_len(&self) -> usize {
        self.batch * self.classes
    }
}

/// Nodes of the graph that are computed in one pass over memory: a convolution, batch norm, pooling
/// or linear layer (the head), with the batch norm, addition and ReLU that are fused into it.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedLayer {
    /// The first node. Its id finds the parameters.
    pub head: NodeId,
    /// Names of its nodes, from the head to the last.
    pub names: Vec<String>,
    /// Kind of the head.
    pub kind: Kind,
    /// Shape of the output for one image.
    pub output: Shape,
    /// For a convolution: dimensions, storage of the input, and the passes that it needs.
    pub conv: Option<(ConvShape, Source, Mode)>,
    /// Place of the output among the values; none for the logits, and for a batch norm that is
    /// fused into the next convolution's load.
    pub value: Option<Span>,
    /// Place of the output's gradient; empty in inference and for the logits.
    pub gradient: Span,
    /// Bytes of weights and biases.
    pub parameter_bytes: usize,
}
