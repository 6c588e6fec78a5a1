//! Errors of plans.

use std::fmt;

use resnet_kernels::OutOfMemory;
use resnet_network::graph::{GraphError, Shape};
use thiserror::Error;

/// Why a plan cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The graph does not fit the images, or breaks a rule.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A batch of 0 images, or of more than 2^20.
    #[error("a batch has 1 to {MAX_BATCH} images, not {0}")]
    Batch(usize),
    /// The plan needs more memory than is available, or the system refused it.
    #[error(
        "the plan needs {} of memory, {}: use a smaller batch (--batch-size) or smaller images \
         (--image-size)",
        Bytes(*bytes),
        match available {
            Some(available) => format!("and {} are available", Bytes(*available)),
            None => "which the system refuses".to_owned(),
        }
    )]
    Memory {
        /// Bytes that it needs.
        bytes: usize,
        /// Bytes that are available, if known.
        available: Option<usize>,
    },
    /// A weight that is too large for the kernels.
    #[error("{node}: a weight of more than 2^31 values is too large")]
    TooWide {
        /// The node.
        node: String,
    },
    /// An activation that is too large for the kernels.
    #[error("{node}: {shape} is too large; use smaller images")]
    TooLarge {
        /// The node.
        node: String,
        /// Shape of its output.
        shape: Shape,
    },
}

impl From<OutOfMemory> for PlanError {
    fn from(error: OutOfMemory) -> Self {
        PlanError::Memory { bytes: error.bytes, available: None }
    }
}

/// Images in a batch, at most.
pub(crate) const MAX_BATCH: usize = 1 << 20;

/// Bytes in MiB or GiB.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GIB: f64 = (1_u64 << 30) as f64;
        let bytes = self.0 as f64;
        match bytes < GIB {
            true => write!(f, "{:.0} MiB", (bytes / GIB * 1024.0).ceil()),
            false => write!(f, "{:.1} GiB", bytes / GIB),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded() {
        assert_eq!(Bytes(1).to_string(), "1 MiB");
        assert_eq!(Bytes(512 << 20).to_string(), "512 MiB");
        assert_eq!(Bytes(3 << 29).to_string(), "1.5 GiB");
    }
}
