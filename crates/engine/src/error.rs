//! Why a network cannot be run.

use resnet_kernels::OutOfMemory;
use resnet_network::graph::{GraphError, Shape};
use thiserror::Error;

/// Why a plan cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The graph does not fit the images, or cannot be planned.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A batch of no images, or of more than any machine holds.
    #[error("a batch has 1 to {MAX_BATCH} images, not {0}")]
    Batch(usize),
    /// The system refused the memory that the plan needs.
    #[error(
        "the plan needs {bytes} bytes more than there are: use a smaller batch (--batch-size) or smaller images"
    )]
    Memory {
        /// How much was asked for.
        bytes: usize,
    },
    /// An image so large that the kernels cannot address it.
    #[error("{node}: {shape} is too large; use smaller images")]
    TooLarge {
        /// The node.
        node: String,
        /// Its output.
        shape: Shape,
    },
}

impl From<OutOfMemory> for PlanError {
    fn from(error: OutOfMemory) -> Self {
        PlanError::Memory { bytes: error.bytes }
    }
}

/// Far more images than memory; with the limit on an image, lengths cannot overflow.
pub(crate) const MAX_BATCH: usize = 1 << 20;
