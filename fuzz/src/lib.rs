//! Bounds the memory of file readers.

/// Runs a reader on a file of `file` bytes, which count as allocated.
///
/// # Panics
/// If more than eight times the file and 16 MiB is allocated at any time.
pub fn bounded<T>(file: usize, read: impl FnOnce() -> T) {
    let count = allocation_counter::measure(|| drop(read()));
    let most = count.bytes_max + file as u64;
    assert!(most <= 8 * file as u64 + (16 << 20), "{most} bytes for a file of {file}");
}
