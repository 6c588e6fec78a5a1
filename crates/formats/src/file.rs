//! Files that are read whole.

use std::{fs, path::Path};

use crate::error::{FormatError, FormatErrorKind};

/// Makes something of a file's bytes.
pub(crate) fn read<T>(
    path: &Path,
    from_bytes: impl FnOnce(&[u8]) -> Result<T, FormatErrorKind>,
) -> Result<T, FormatError> {
    let read = || {
        // A pipe or a device may never open, or never end.
        if !fs::metadata(path).map_err(FormatErrorKind::Read)?.is_file() {
            return Err(FormatErrorKind::NotAFile);
        }
        from_bytes(&fs::read(path).map_err(FormatErrorKind::Read)?)
    };
    read().map_err(|kind| FormatError { path: path.to_owned(), kind })
}
