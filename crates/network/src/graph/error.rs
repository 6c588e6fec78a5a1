//! What can be wrong with a graph.

use thiserror::Error;

use super::Shape;

/// Why a graph cannot be run on an image.
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
        /// The shape it was given.
        input: Shape,
    },
    /// The two sides of an addition differ.
    #[error("{node}: cannot add {left} and {right}")]
    Mismatch {
        /// The node.
        node: String,
        /// First input.
        left: Shape,
        /// Second input.
        right: Shape,
    },
    /// A structural rule is broken.
    #[error("{node}: {rule}")]
    Structure {
        /// The node.
        node: String,
        /// What must hold.
        rule: &'static str,
    },
}
