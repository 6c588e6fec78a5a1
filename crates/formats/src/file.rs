//! Reads whole files.

use std::{
    fs::{File, Metadata},
    io::{self, Seek},
    path::Path,
};

use crate::{
    error::{FormatError, FormatErrorKind},
    regular::{self, RefusedFile},
};

/// The largest file that is read: far larger than any network of the family with its optimiser.
const MAX_BYTES: u64 = 4 << 30;

/// Reads and parses a file. For a large file, `look` first checks whether it can be valid, without
/// reading all of it.
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

/// Opens a file that is neither too large nor sparse; also returns its length.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = regular::open(path)?;
    let metadata = file.metadata()?;
    if metadata.len() > MAX_BYTES {
        return RefusedFile::TooLong(MAX_BYTES).error();
    }
    // A sparse file would take no disk space, but memory.
    if metadata.len() >= SMALL && is_sparse(&metadata) {
        return RefusedFile::Sparse.error();
    }
    Ok((file, metadata.len()))
}

/// Files smaller than this are read without a look.
const SMALL: u64 = 64 << 20;

/// Whether less than half of a file is on disk. Weights hardly compress on compressing file
/// systems. Some file systems count no blocks.
#[cfg(unix)]
fn is_sparse(metadata: &Metadata) -> bool {
    let bytes = std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    bytes > 0 && bytes < metadata.len() / 2
}

#[cfg(not(unix))]
fn is_sparse(_: &Metadata) -> bool {
    false
}
