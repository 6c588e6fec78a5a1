//! Reads and writes ONNX files: a graph of operators and its tensors, in Protocol Buffers.
//!
//! The part of the format that convolutional networks need is supported; anything else in a file is
//! skipped. A file is one message with nested messages. The numbers of their fields are in
//! `read.rs` and `write.rs`.
//!
//! Reading allocates at most 32 times the file's size and does not follow nested graphs. A general
//! protobuf library cannot guarantee that: a repeated message takes two bytes in the file, and its
//! struct in memory.

mod model;
mod numbers;
mod read;
mod write;

use std::path::Path;

pub use model::{Attribute, Dimension, Graph, Model, Node, Value};
pub use write::{TOO_LARGE, write};

pub use crate::error::Malformed;
use crate::{FormatError, FormatErrorKind, file};

/// Reads an ONNX file.
///
/// # Errors
/// If the file cannot be read, is malformed, has tensors in other files, or has initialisers of
/// other types than float and int64.
pub fn read(path: &Path) -> Result<Model, FormatError> {
    file::read(path, |_, _| Ok(()), from_bytes)
}

/// Reads a file's bytes; see [`read`].
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<Model, FormatErrorKind> {
    read::model(bytes)
}

#[cfg(test)]
mod tests;
