//! Fallible allocation.

use super::PhotoError;

/// An empty vector with this capacity, or an error if the allocation fails.
pub(super) fn with_capacity<T>(len: usize) -> Result<Vec<T>, PhotoError> {
    let mut vector = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>()) as u64;
    vector.try_reserve_exact(len).map_err(|_| PhotoError::Memory(bytes))?;
    Ok(vector)
}
