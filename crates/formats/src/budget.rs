//! Limits the memory and work that reading a file may take.

use crate::FormatErrorKind;

/// Cost of looking at a value, in bytes. A tensor may have several wrappers; ten million looks take
/// less than a second.
const PER_LOOK: usize = 32;

/// The memory that reading a file may still take. The limit is eight times the file's size, the
/// file itself included, plus 16 MiB. Half-precision weights double when they become f32, and a
/// pickle grows several times; valid files stay far below the limit.
///
/// Every allocation whose size a file decides takes from the budget first. So does every look at a
/// value that may be referenced many times: a pickle of a few bytes can contain a dict a thousand
/// times. Nothing is given back, so the budget limits the work too.
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn for_file_of(bytes: usize) -> Self {
        Budget { left: bytes.saturating_mul(7).saturating_add(16 << 20) }
    }

    /// Takes the cost of looking at `values` values.
    pub(crate) fn look(&mut self, values: usize) -> Result<(), FormatErrorKind> {
        self.take(values.saturating_mul(PER_LOOK))
    }

    /// Takes `bytes` bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), FormatErrorKind> {
        self.left = self.left.checked_sub(bytes).ok_or(FormatErrorKind::TooLarge)?;
        Ok(())
    }
}
