//! Errors of graphs.

use thiserror::Error;

use super::Shape;

/// Why a graph cannot run on images of a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphError {
    /// A window does not fit in its input.
    #[error(
        "{node}: a {kernel}x{kernel} window with padding {padding} does not fit in {input}; \
         use larger images"
    )]
    TooSmall {
        /// The node.
        node: String,
        /// Side of its window.
        kernel: usize,
        /// Its padding.
        padding: usize,
        /// Shape of its input.
        input: Shape,
    },
    /// The shapes of an addition's inputs differ.
    #[error("{node}: cannot add {left} and {right}")]
    Mismatch {
        /// The node.
        node: String,
        /// Shape of the first input.
        left: Shape,
        /// Shape of the second input.
        right: Shape,
    },
    /// A structural rule is broken.
    #[error("{node}: {rule}")]
    Structure {
        /// The node.
        node: String,
        /// The rule.
        rule: &'static str,
    },
}
