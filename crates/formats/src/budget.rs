//! How much memory and work a file may ask for.

use crate::FormatErrorKind;

/// Bytes that a look is worth. A tensor is told through several wrappers, and ten million looks take
/// less than a second.
const PER_LOOK: usize = 32;

/// What is left of the memory that a file's size justifies: eight times its bytes, those of the
/// file itself included, and 16 MiB. Half-precision weights double when they become f32, a pickle
/// grows severalfold, and an honest file stays far below both.
///
/// Whoever is about to allocate because a file says so asks first, and so does whoever is about to
/// look at what may be in many places: a pickle of a few bytes can hold one dict a thousand times.
/// Nothing is given back, so the budget bounds the work as well.
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn for_file_of(bytes: usize) -> Self {
        Budget { left: bytes.saturating_mul(7).saturating_add(16 << 20) }
    }

    /// Takes what it is worth to look at so many values, one after the other.
    pub(crate) fn look(&mut self, values: usize) -> Result<(), FormatErrorKind> {
        self.take(values.saturating_mul(PER_LOOK))
    }

    /// Takes some bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), FormatErrorKind> {
        self.left = self.left.checked_sub(bytes).ok_or(FormatErrorKind::TooLarge)?;
        Ok(())
    }
}
