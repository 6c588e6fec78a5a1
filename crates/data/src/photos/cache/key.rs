//! What a prepared photo is found by.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::super::Form;

/// A digest of a file's path, length and time of change, and of the form that it is prepared to. The
/// content is not read: an edit that keeps length and time is not noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(super) [u8; 16]);

impl Key {
    /// The key of a file that was changed last at `modified` nanoseconds.
    pub(crate) fn new(path: &Path, len: u64, modified: u64, form: Form) -> Key {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut hash = Sha256::new();
        hash.update(len.to_le_bytes());
        hash.update(modified.to_le_bytes());
        hash.update(format!("{form:?}\0"));
        hash.update(path.as_os_str().as_encoded_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Key(key)
    }
}
