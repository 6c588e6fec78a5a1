//! The ONNX format: a graph of operators and its tensors, in Protocol Buffers.
//!
//! Of the format there is what networks of convolutions need; what a file has beyond that is
//! skipped when it is read. A file is one message, of messages within messages; the numbers of
//! their fields are in `read.rs` and, by the same names, in `write.rs`.
//!
//! Reading allocates at most 32 times the file's size, however it is made, and follows no nested
//! graphs. The bytes are read here rather than by a general library because such a library cannot
//! promise that: a repeated message costs two bytes in the file, and its struct in memory.

mod error;
mod read;
mod wire;
mod write;

use std::path::Path;

pub use error::Malformed;
pub use write::write;

use crate::{FormatError, FormatErrorKind, NamedTensors, safetensors::Metadata};

/// A model: a graph, and who made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Name of the program that wrote it.
    pub producer: String,
    /// Its version.
    pub producer_version: String,
    /// Free-form strings by key.
    pub metadata: Metadata,
    /// What it computes.
    pub graph: Graph,
}

/// Operators in topological order, connected by the names of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// The operators.
    pub nodes: Vec<Node>,
    /// Values that are there from the start.
    pub initializers: NamedTensors,
    /// What it takes: tensors of 32-bit floating point.
    pub inputs: Vec<Value>,
    /// What it gives: tensors of 32-bit floating point.
    pub outputs: Vec<Value>,
}

/// An operator's use.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The operator, such as `Conv`.
    pub op: String,
    /// Names of the values it reads; an empty name stands for an optional one that is absent.
    pub inputs: Vec<String>,
    /// Names of the values it makes.
    pub outputs: Vec<String>,
    /// Its attributes by name.
    pub attributes: Vec<(String, Attribute)>,
}

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A floating-point number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
    /// Something else, which is not read and cannot be written.
    Other,
}

/// An input or output of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its name.
    pub name: String,
    /// What a reader of the file should know of it.
    pub doc: String,
    /// Extent of each dimension.
    pub shape: Vec<Dimension>,
}

/// Extent of a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// So many.
    Fixed(i64),
    /// Any number; the same one wherever the name is the same.
    Dynamic(String),
}

/// Reads a file.
///
/// # Errors
/// If the file cannot be read, is malformed, keeps tensors in other files, or has initialisers of
/// other types than float and int64.
pub fn read(path: &Path) -> Result<Model, FormatError> {
    let read = || {
        // A pipe or a device may never open, or never end.
        if !std::fs::metadata(path).map_err(FormatErrorKind::Read)?.is_file() {
            return Err(FormatErrorKind::NotAFile);
        }
        from_bytes(&std::fs::read(path).map_err(FormatErrorKind::Read)?)
    };
    read().map_err(|kind| FormatError::new(path, kind))
}

/// Reads what a file would hold; see [`read`].
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<Model, FormatErrorKind> {
    read::model(bytes)
}

/// Numbers that stand for types of tensors.
mod dtype {
    pub(super) const FLOAT: i64 = 1;
    pub(super) const INT64: i64 = 7;

    /// What the format calls them.
    pub(super) fn name(number: i64) -> String {
        let names = [
            "FLOAT",
            "UINT8",
            "INT8",
            "UINT16",
            "INT16",
            "INT32",
            "INT64",
            "STRING",
            "BOOL",
            "FLOAT16",
            "DOUBLE",
            "UINT32",
            "UINT64",
            "COMPLEX64",
            "COMPLEX128",
            "BFLOAT16",
        ];
        let name = usize::try_from(number - 1).ok().and_then(|i| names.get(i));
        name.map_or_else(|| format!("number {number}"), |&name| name.to_owned())
    }
}

/// Numbers that stand for types of attributes.
mod kind {
    pub(super) const FLOAT: i64 = 1;
    pub(super) const INT: i64 = 2;
    pub(super) const INTS: i64 = 7;
}

#[cfg(test)]
mod tests;
