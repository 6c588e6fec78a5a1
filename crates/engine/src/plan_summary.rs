//! What a plan consists of, for people: layers and their memory, and the operations of a step with
//! what they cost. It is the program, and how this machine runs it.

pub use resnet_kernels::conv::Algorithm;
use resnet_network::graph::Shape;

use crate::program::{Kind, Operation, Pass};

/// A plan described, for one graph and its largest batch.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSummary {
    /// In the order of the forward pass.
    pub layers: Vec<LayerSummary>,
    /// In the order in which they run; the hooks of a step name them by their index.
    pub operations: Vec<PlannedOperation>,
    /// What the plan holds.
    pub memory: PlanMemory,
}

/// Nodes that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
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

/// Bytes that a plan holds. Layers share them where their lifetimes allow it, so that the parts of
/// the layers add up to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanMemory {
    /// The images.
    pub images: usize,
    /// Outputs of layers.
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
    /// Tables of pixels of direct convolutions, at most; those of one shape share one.
    pub tables: usize,
}

impl PlanMemory {
    /// What is still to be taken once a plan is prepared: the tables are there then.
    pub(crate) fn without_tables(&self) -> usize {
        PlanMemory { tables: 0, ..*self }.total()
    }

    /// All of it.
    pub fn total(&self) -> usize {
        let PlanMemory {
            images,
            activations,
            gradients,
            statistics,
            packed,
            scratch,
            logits,
            tables,
        } = *self;
        let parts = [images, activations, gradients, statistics, packed, scratch, logits, tables];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}

/// An operation, and how it is computed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedOperation {
    /// The operation, on the plan's largest batch.
    pub operation: Operation,
    /// How, for convolutions.
    pub algorithm: Option<Algorithm>,
}

impl From<(Operation, Option<Algorithm>)> for PlannedOperation {
    fn from((operation, algorithm): (Operation, Option<Algorithm>)) -> Self {
        PlannedOperation { operation, algorithm }
    }
}
