//! Files that are read whole.

use std::{
    fs::{File, Metadata},
    io::{self, Seek},
    path::Path,
};

use crate::{
    error::{FormatError, FormatErrorKind},
    regular::{self, Odd},
};

/// No network of the family takes nearly as much, its optimiser included.
const MAX_BYTES: u64 = 4 << 30;

/// Makes something of a file's bytes. `look` is for large ones: whether they are worth the memory,
/// given their size.
pub(crate) fn read<T>(
    path: &Path,
    look: impl FnOnce(&mut File, u64) -> Result<(), FormatErrorKind>,
    from_bytes: impl FnOnce(&[u8]) -> Result<T, FormatErrorKind>,
) -> Result<T, FormatError> {
    let read = || from_bytes(&bytes(path, look)?);
    read().map_err(|kind| FormatError { path: path.to_owned(), kind })
}

fn bytes(
    path: &Path,
    look: impl FnOnce(&mut File, u64) -> Result<(), FormatErrorKind>,
) -> Result<Vec<u8>, FormatErrorKind> {
    let refused = FormatErrorKind::from_read;
    let (mut file, length) = open(path).map_err(refused)?;
    if length >= SMALL {
        look(&mut file, length)?;
        file.rewind().map_err(refused)?;
    }
    regular::read_opened(file, MAX_BYTES).map_err(refused)
}

/// Opens a file whose bytes are worth the memory, and its length.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = regular::open(path)?;
    let metadata = file.metadata()?;
    if metadata.len() > MAX_BYTES {
        return Odd::TooLong(MAX_BYTES).error();
    }
    // What is mostly a hole costs nobody anything until it is read.
    if metadata.len() >= SMALL && is_sparse(&metadata) {
        return Odd::Sparse.error();
    }
    Ok((file, metadata.len()))
}

/// Smaller files are read whatever they are.
const SMALL: u64 = 64 << 20;

/// Whether a disk has less than half of a file. Weights hardly compress, where a file system does
/// that. Some file systems count no blocks at all.
#[cfg(unix)]
fn is_sparse(metadata: &Metadata) -> bool {
    let bytes = std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    bytes > 0 && bytes < metadata.len() / 2
}

#[cfg(not(unix))]
fn is_sparse(_: &Metadata) -> bool {
    false
}
