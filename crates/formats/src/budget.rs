//! How much memory a file may ask for.

use crate::FormatErrorKind;

/// What is left of the memory that a file's size justifies: eight times its bytes, those of the
/// file itself included, and 16 MiB. Half-precision weights double when they become f32, a pickle
/// grows severalfold, and an honest file stays far below both.
///
/// Whoever is about to allocate because a file says so asks first. Nothing is given back, so the
/// budget bounds the work as well.
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn for_file_of(bytes: usize) -> Self {
        Budget { left: bytes.saturating_mul(7).saturating_add(16 << 20) }
    }

    /// Takes some bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), FormatErrorKind> {
        self.left = self.left.checked_sub(bytes).ok_or(FormatErrorKind::TooLarge)?;
        Ok(())
    }
}
