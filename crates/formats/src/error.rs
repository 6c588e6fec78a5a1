//! What can be wrong with a file.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A file that cannot be read or written, and why.
#[derive(Debug, Error)]
#[error("{}: {kind}", path.display())]
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
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}
