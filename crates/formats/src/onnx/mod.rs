//! The ONNX format: a graph of operators and its tensors, in Protocol Buffers.
//!
//! Of the format there is what networks of convolutions need; what a file has beyond that is
//! skipped when it is read. A file is one message, of messages within messages; the numbers of
//! their fields are in `read.rs` and, by the same names, in `write.rs`.
//!
//! Reading allocates at most 32 times the file's size, however it is made, and follows no nested
//! graphs. The bytes are read here rather than by a general library because such a library cannot
//! promise that: a repeated message costs two bytes in the file, and its struct in memory.

mod model;
mod numbers;
mod read;
mod wire;
mod write;

use std::path::Path;

pub use model::{Attribute, Dimension, Graph, Model, Node, Value};
pub use write::{TOO_LARGE, write};

pub use crate::error::Malformed;
use crate::{FormatError, FormatErrorKind, file};

/// Reads a file.
///
/// # Errors
/// If the file cannot be read, is malformed, keeps tensors in other files, or has initialisers of
/// other types than float and int64.
pub fn read(path: &Path) -> Result<Model, FormatError> {
    file::read(path, |_, _| Ok(()), from_bytes)
}

/// Reads what a file would hold; see [`read`].
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<Model, FormatErrorKind> {
    read::model(bytes)
}

#[cfg(test)]
mod tests;
