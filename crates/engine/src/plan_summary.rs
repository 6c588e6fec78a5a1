//! A plan's summary (`resnet summary --plan`): its fused layers and their memory, and the
//! operations of a step with their cost.
//!
//! A summary is the [program](crate::program), with the algorithm that this machine chooses for
//! each convolution.

pub use resnet_kernels::conv::Algorithm;
use resnet_network::graph::Shape;
use resnet_program::program::{Kind, Operation, Pass};

/// The summary of a plan, for its largest batch.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSummary {
    /// The fused layers, in the order of the forward pass.
    pub layers: Vec<LayerSummary>,
    /// The operations, in the order in which they run. [`Hooks::done`](crate::Hooks::done) names
    /// them by their index.
    pub operations: Vec<PlannedOperation>,
    /// The plan's memory.
    pub memory: PlanMemory,
}

/// The summary of a fused layer: nodes of the graph that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// The names of the nodes, in order.
    pub nodes: Vec<String>,
    /// What the first node computes.
    pub kind: Kind,
    /// Shape of the output for one image.
    pub output: Shape,
    /// For a convolution, the algorithm of each pass that the plan needs.
    pub algorithms: Vec<(Pass, Algorithm)>,
    /// Bytes of the output; 0 for a batch norm that is fused into the next convolution's load.
    pub activation_bytes: usize,
    /// Bytes of the output's gradient.
    pub gradient_bytes: usize,
    /// Bytes of packed weights.
    pub packed_bytes: usize,
    /// Bytes of scratch memory.
    pub scratch_bytes: usize,
}

/// Bytes of a plan's buffers. Layers share buffers where their lifetimes allow it, so the sum over
/// layers is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanMemory {
    /// Input images.
    pub images: usize,
    /// Outputs of fused layers.
    pub activations: usize,
    /// Gradients of the outputs; 0 for inference.
    pub gradients: usize,
    /// Batch statistics of batch norms; 0 for inference.
    pub statistics: usize,
    /// Packed weights: of all convolutions for inference, of one at a time in training.
    pub packed: usize,
    /// Scratch memory of one operation at a time.
    pub scratch: usize,
    /// Logits, and in training their gradients.
    pub logits: usize,
    /// Indirection buffers of direct convolutions, at most; convolutions of one shape share one.
    pub tables: usize,
}

impl PlanMemory {
    /// What is still to be allocated for a prepared plan, whose tables exist already.
    pub(crate) fn without_tables(&self) -> usize {
        PlanMemory { tables: 0, ..*self }.total()
    }

    /// The sum.
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

/// An operation, and the algorithm that computes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedOperation {
    /// The operation, with its cost for the largest batch.
    pub operation: Operation,
    /// The algorithm, for convolutions.
    pub algorithm: Option<Algorithm>,
}

impl From<(Operation, Option<Algorithm>)> for PlannedOperation {
    fn from((operation, algorithm): (Operation, Option<Algorithm>)) -> Self {
        PlannedOperation { operation, algorithm }
    }
}
