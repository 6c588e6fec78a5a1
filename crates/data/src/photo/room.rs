//! Memory that may be refused.

use super::PhotoError;

/// Room for so many, if the system has memory for them.
pub(super) fn room<T>(len: usize) -> Result<Vec<T>, PhotoError> {
    let mut room = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>()) as u64;
    room.try_reserve_exact(len).map_err(|_| PhotoError::Memory(bytes))?;
    Ok(room)
}
