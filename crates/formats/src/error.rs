//! What can be wrong with a file.

use std::{io, path::PathBuf};

use thiserror::Error;

mod onnx;

pub use onnx::Malformed;

use crate::{
    printable::{Shown, brief, printable},
    regular::Odd,
};

/// A file that cannot be read, and why.
#[derive(Debug, Error)]
#[error("{} {kind}", path.shown())]
pub struct FormatError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: FormatErrorKind,
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
    #[error("has a damaged header: {}", brief(.0))]
    Header(String),
    /// Two tensors, or two metadata entries, of one name.
    #[error("has two entries named '{}'", brief(.0))]
    DuplicateName(String),
    /// A tensor overlaps the one before it, or leaves a gap.
    #[error("has a tensor '{}' that does not start where the one before it ends", brief(.0))]
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
    #[error("has a tensor '{}' of type {}; {read} are read", brief(tensor), brief(dtype))]
    Dtype {
        /// Its name.
        tensor: String,
        /// Its type.
        dtype: String,
        /// What is read.
        read: &'static str,
    },
    /// It would take more memory than its size justifies.
    #[error(
        "asks for far more memory or work than a file of its size has a reason to; it is not read"
    )]
    TooLarge,
    /// No file of PyTorch's.
    #[error("is {}; what is read is what torch.save writes", brief(.0))]
    NotTorch(String),
    /// A zip archive that is truncated, corrupted, or built to deceive.
    #[error("is a damaged zip archive: {}", brief(.0))]
    Zip(String),
    /// A pickle that no pickler wrote.
    #[error("holds a damaged pickle: {}", brief(.0))]
    Pickle(String),
    /// A pickle that would run code.
    #[error(
        "asks to call {}, which a file of weights has no reason to; nothing was run. Where the \
         file comes from someone you trust, save its state dict in PyTorch and use that",
        brief(&usual_name(.0))
    )]
    Call(String),
    /// A tensor that cannot be made of the bytes there are.
    #[error("has a tensor '{}' {}", brief(tensor), brief(why))]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        why: String,
    },
    /// No state dict and no module.
    #[error(
        "holds no model: {}. What is read is a state dict, a module, or a dict that holds either",
        printable(.0)
    )]
    NoModel(String),
    /// Several state dicts or modules, none of which is better than the others.
    #[error("holds several models, {} for two; save the one you mean on its own", printable(&.0.join(" and ")))]
    SeveralModels(Vec<String>),
    /// Wrong in the way of an ONNX file.
    #[error(transparent)]
    Onnx(#[from] Malformed),
}

impl FormatErrorKind {
    /// Why the bytes of a file cannot be had.
    pub fn from_read(error: io::Error) -> Self {
        match Odd::of(&error) {
            Some(Odd::NotAFile) => FormatErrorKind::NotAFile,
            _ => FormatErrorKind::Read(error),
        }
    }
}

/// A function of Python's, as people know it: pickles call the module behind `os` by its own name.
fn usual_name(function: &str) -> String {
    match function.split_once('.') {
        Some(("posix" | "nt", name)) => format!("os.{name} ({function})"),
        _ => function.to_owned(),
    }
}
