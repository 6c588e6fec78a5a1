//! Files that are read whole.

use std::path::Path;

use crate::{
    error::{FormatError, FormatErrorKind},
    regular,
};

/// No network of the family takes nearly as much, its optimiser included.
const MAX_BYTES: u64 = 4 << 30;

/// Makes something of a file's bytes.
pub(crate) fn read<T>(
    path: &Path,
    from_bytes: impl FnOnce(&[u8]) -> Result<T, FormatErrorKind>,
) -> Result<T, FormatError> {
    let read = || from_bytes(&regular::read(path, MAX_BYTES).map_err(FormatErrorKind::from_read)?);
    read().map_err(|kind| FormatError { path: path.to_owned(), kind })
}
