//! What can be wrong with a file.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// A file that cannot be read, and why.
#[derive(Debug, Error)]
#[error("{} {kind}", path.display())]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: FormatErrorKind,
}

impl FormatError {
    pub(crate) fn new(path: &Path, kind: FormatErrorKind) -> Self {
        FormatError { path: path.to_owned(), kind }
    }
}

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatErrorKind {
    /// The system refuses to read it.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// A folder, a pipe, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Shorter than the header's length, or than the header.
    #[error("is {size} bytes long, too short for its header: it is truncated, or no safetensors")]
    TruncatedHeader {
        /// Bytes in the file.
        size: usize,
    },
    /// The header would be larger than any reader accepts.
    #[error("has a header of more than 100 MB: it is damaged, or no safetensors")]
    HeaderTooLarge,
    /// The header is not UTF-8, not JSON, or not of the right structure.
    #[error("has a damaged header: {0}")]
    Header(String),
    /// Two tensors, or two metadata entries, of one name.
    #[error("has two entries named '{0}'")]
    DuplicateName(String),
    /// A tensor overlaps the one before it, or leaves a gap.
    #[error("has a tensor '{0}' that does not start where the one before it ends")]
    Offset(String),
    /// A tensor whose bytes are not as many as its shape and dtype need.
    #[error("has a tensor whose bytes are not as many as its shape needs")]
    ShapeAndSize,
    /// A shape so large that its size cannot be computed.
    #[error("has a tensor of an impossible shape")]
    ImpossibleShape,
    /// The tensors end before or after the file does.
    #[error(
        "is {size} bytes long, which is not what its header says: it is truncated, or has trailing data"
    )]
    Size {
        /// Bytes in the file.
        size: usize,
    },
    /// A tensor of a type that is not read.
    #[error("has a tensor '{tensor}' of type {dtype}; F32 and I64 are read")]
    Dtype {
        /// Its name.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// Wrong in the way of an ONNX file.
    #[error(transparent)]
    Onnx(#[from] crate::onnx::Malformed),
}
