//! Aligned memory.

use std::{
    alloc::{Layout, alloc, dealloc},
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use thiserror::Error;

use crate::scalar::Scalar;

/// A zeroed buffer that starts on a cache line. A large one starts on a huge page, which the
/// operating system may then use for it.
pub struct Buffer<T = f32> {
    start: NonNull<T>,
    len: usize,
    layout: Layout,
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

/// The system refused memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the system has no {bytes} bytes of memory left")]
pub struct OutOfMemory {
    /// The size of the allocation.
    pub bytes: usize,
}

impl<T: Scalar> Buffer<T> {
    /// A buffer of `len` zeros.
    ///
    /// # Errors
    /// If the system refuses the memory.
    pub fn zeroed(len: usize) -> Result<Self, OutOfMemory> {
        let refused = OutOfMemory { bytes: len.saturating_mul(size_of::<T>()) };
        let align = if refused.bytes >= HUGE_PAGE { HUGE_PAGE } else { LINE };
        let layout = Layout::from_size_align(refused.bytes.max(1), align).map_err(|_| refused)?;
        // SAFETY: the layout's size is not zero.
        let start: NonNull<T> = NonNull::new(unsafe { alloc(layout) }.cast()).ok_or(refused)?;
        // Before the first write, which is what makes the pages.
        if align == HUGE_PAGE {
            advise_huge_pages(start, refused.bytes);
        }
        // SAFETY: the memory was just allocated with this size.
        unsafe { start.cast::<u8>().write_bytes(0, layout.size()) };
        Ok(Buffer { start, len, layout })
    }
}

/// Advises the system to use huge pages: kernels read many streams at once, each on a page of its
/// own.
#[cfg(target_os = "linux")]
fn advise_huge_pages<T>(start: NonNull<T>, bytes: usize) {
    unsafe extern "C" {
        fn madvise(start: *mut std::ffi::c_void, bytes: usize, advice: i32) -> i32;
    }
    const MADV_HUGEPAGE: i32 = 14;
    // SAFETY: the range is ours; advice changes no contents. Refusal costs speed alone.
    unsafe { madvise(start.as_ptr().cast(), bytes, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages<T>(_: NonNull<T>, _: usize) {}

/// Has the C library give memory from 128 KiB on back to the system when it is freed. glibc begins so, but
/// keeps blocks as large as the largest that was freed so far, each thread those of its own: a process that
/// replaces its networks grows. Other systems' are left as they are.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_freed_memory_back() {
    unsafe extern "C" {
        fn mallopt(parameter: i32, value: i32) -> i32;
    }
    const M_MMAP_THRESHOLD: i32 = -3;
    // SAFETY: a threshold may change at any time: blocks that exist know how they were made.
    unsafe { mallopt(M_MMAP_THRESHOLD, 128 << 10) };
}

/// Does nothing on this system.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_freed_memory_back() {}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { dealloc(self.start.as_ptr().cast(), self.layout) }
    }
}

// SAFETY: the buffer owns its memory, and scalars may be sent and shared.
unsafe impl<T: Scalar> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Scalar> Sync for Buffer<T> {}

impl<T: Scalar> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` values that live as long as the borrow; zero bits are a value.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Scalar> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} values)", self.len)
    }
}

/// An empty vector with a capacity of `len` values.
///
/// # Errors
/// If the system refuses the memory.
pub(crate) fn try_with_capacity<T>(len: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut values = Vec::new();
    let bytes = len.saturating_mul(size_of::<T>());
    values.try_reserve_exact(len).map_err(|_| OutOfMemory { bytes })?;
    Ok(values)
}

/// The longest aligned run of f64 in some words: half as many, or one less where the words are not
/// aligned.
pub(crate) fn as_f64(words: &mut [f32]) -> &mut [f64] {
    // SAFETY: any bits are an f64, and any bits of one are two f32.
    unsafe { words.align_to_mut::<f64>() }.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bf16;

    fn check<T: Scalar>() {
        for len in [0, 1, 17, 1 << 20] {
            let b = Buffer::<T>::zeroed(len).unwrap();
            assert_eq!(b.as_ptr() as usize % LINE, 0);
            assert_eq!(b.len(), len);
            assert!(b.iter().all(|x| x.to_f32() == 0.0));
        }
        for len in [usize::MAX, usize::MAX / 4, 1 << 58] {
            let error = Buffer::<T>::zeroed(len).unwrap_err();
            assert_eq!(error.bytes, len.saturating_mul(size_of::<T>()));
        }
    }

    #[test]
    fn is_aligned_and_zero_or_refused() {
        check::<f32>();
        check::<Bf16>();
    }
}
