//! Files that are read whole.

use std::{fs::Metadata, io, path::Path};

use crate::{
    error::{FormatError, FormatErrorKind},
    regular::{self, Odd},
};

/// No network of the family takes nearly as much, its optimiser included.
const MAX_BYTES: u64 = 4 << 30;

/// Makes something of a file's bytes.
pub(crate) fn read<T>(
    path: &Path,
    from_bytes: impl FnOnce(&[u8]) -> Result<T, FormatErrorKind>,
) -> Result<T, FormatError> {
    let read = || from_bytes(&bytes(path).map_err(FormatErrorKind::from_read)?);
    read().map_err(|kind| FormatError { path: path.to_owned(), kind })
}

/// The bytes of a file that takes as much of a disk as it says: one that is mostly a hole costs
/// nobody anything until it is read.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = regular::open(path)?;
    let metadata = file.metadata()?;
    let may_be_large = SMALL..=MAX_BYTES;
    if may_be_large.contains(&metadata.len()) && is_sparse(&metadata) {
        return Odd::Sparse.error();
    }
    regular::read_opened(file, MAX_BYTES)
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
