//! Errors of files.

use std::{io, path::PathBuf};

use thiserror::Error;

mod onnx;

pub use onnx::Malformed;

use crate::{
    printable::{Shown, brief, printable},
    regular::RefusedFile,
};

/// Why a file cannot be read.
#[derive(Debug, Error)]
#[error("{} {kind}", path.shown())]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub kind: FormatErrorKind,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatErrorKind {
    /// The system cannot read it.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It is a folder, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Shorter than the header's length, or than the header.
    #[error(
        "is {size} bytes long, too short for its header: it is truncated, or not a safetensors file"
    )]
    TruncatedHeader {
        /// Bytes in the file.
        size: usize,
    },
    /// The header is too large.
    #[error("has a header of more than 100 MB: it is damaged, or not a safetensors file")]
    HeaderTooLarge,
    /// The header is not UTF-8, not JSON, or not of the right structure.
    #[error("has a damaged header: {}", brief(.0))]
    Header(String),
    /// Two tensors, or two metadata entries, have the same name.
    #[error("has two entries named '{}'", brief(.0))]
    DuplicateName(String),
    /// A tensor overlaps the one before it, or leaves a gap.
    #[error("has a tensor '{}' that does not start where the one before it ends", brief(.0))]
    Offset(String),
    /// The number of a tensor's bytes does not fit its shape and dtype.
    #[error("has a tensor whose number of bytes does not fit its shape")]
    ShapeAndSize,
    /// A shape so large that its size cannot be computed.
    #[error("has a tensor of an impossible shape")]
    ImpossibleShape,
    /// The tensors end before or after the file does.
    #[error(
        "is {size} bytes long, which its header contradicts: it is truncated, or has trailing data"
    )]
    Size {
        /// Bytes in the file.
        size: usize,
    },
    /// A tensor has an unsupported type.
    #[error(
        "has a tensor '{}' of type {}; supported types are {read}",
        brief(tensor),
        brief(dtype)
    )]
    Dtype {
        /// Its name.
        tensor: String,
        /// Its type.
        dtype: String,
        /// The supported types.
        read: &'static str,
    },
    /// Reading it would take too much memory or work for its size.
    #[error("would take far more memory or work than a valid file of its size; it is not read")]
    TooLarge,
    /// Not a PyTorch file.
    #[error("is {}, not a file of torch.save", brief(.0))]
    NotTorch(String),
    /// The zip archive is truncated, corrupted or malicious.
    #[error("is a damaged zip archive: {}", brief(.0))]
    Zip(String),
    /// The pickle is malformed.
    #[error("has a damaged pickle: {}", brief(.0))]
    Pickle(String),
    /// The pickle calls a function that a file of weights does not need.
    #[error(
        "calls {}, which a file of weights does not need; nothing was run. If you trust its source, \
         save its state dict in PyTorch and use that",
        brief(&usual_name(.0))
    )]
    Call(String),
    /// A tensor is malformed.
    #[error("has a tensor '{}' {}", brief(tensor), brief(why))]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        why: String,
    },
    /// A tensor is of a kind that is not read.
    #[error("has a tensor '{}' {}, which is not supported: {remedy}", brief(tensor), brief(what))]
    Unsupported {
        /// Its name.
        tensor: String,
        /// What it is.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// There is no state dict and no module.
    #[error(
        "has no model: {}. Supported are a state dict, a module, or a dict with one of them",
        printable(.0)
    )]
    NoModel(String),
    /// There are several state dicts or modules, and the keys do not decide between them.
    #[error("has several models, such as {}: choose one by its key (--weights)", printable(&.0.join(" and ")))]
    SeveralModels(Vec<String>),
    /// An error of ONNX files.
    #[error(transparent)]
    Onnx(#[from] Malformed),
}

impl FormatErrorKind {
    /// The reason for a failed read.
    pub fn from_read(error: io::Error) -> Self {
        match RefusedFile::of(&error) {
            Some(RefusedFile::NotAFile) => FormatErrorKind::NotAFile,
            _ => FormatErrorKind::Read(error),
        }
    }
}

/// The usual name of a Python function: pickles call `os` by the name of its implementation.
fn usual_name(function: &str) -> String {
    match function.split_once('.') {
        Some(("posix" | "nt", name)) => format!("os.{name} ({function})"),
        _ => function.to_owned(),
    }
}
