//! Reads and writes ONNX files: a graph of operators and its tensors, in Protocol Buffers.
//!
//! The part of the format that convolutional networks need is supported; anything else in a file is
//! skipped. A file is one message with nested messages. The numbers of their fields are in
//! `read.rs` and `write.rs`.
//!
//! Reading allocates at most 32 times the file's size, however it is made, and follows no nested
//! graphs. Values that a file keeps in another one are read from that, if it lies in the same folder
//! under a plain name; they count as the file's. The bytes are read here rather than by a general library because such a library cannot
//! promise that: a repeated message costs two bytes in the file, and its struct in memory.

mod external;
mod model;
mod numbers;
mod read;
mod write;

use std::path::Path;

pub use model::{Attribute, Dimension, Graph, Model, Node, Value};
pub use write::{TOO_LARGE, write};

pub use crate::error::Malformed;
use crate::{FormatError, FormatErrorKind, file};

use external::External;

/// Reads a file.
///
/// # Errors
/// If the file cannot be read, is malformed, or has tensors of other types than floating point
/// numbers, integers and booleans; or if tensors are in a file that is not there, is none of its
/// folder, or is too short.
pub fn read(path: &Path) -> Result<Model, FormatError> {
    let mut external = External::of(path);
    file::read(path, |_, _| Ok(()), |bytes| read::model(bytes, &mut external))
}

/// Reads what a file would hold; see [`read`]. There is no folder that other files could lie in.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<Model, FormatErrorKind> {
    read::model(bytes, &mut External::default())
}

#[cfg(test)]
mod tests;
