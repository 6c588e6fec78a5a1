//! Memory that is used again: the system takes long to give new pages.

use std::sync::{Arc, Mutex, MutexGuard};

/// Buffers that nobody uses.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Vec<u8>>>);

/// More than are under way at a time.
const MOST: usize = 256;

impl Pool {
    fn buffers(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }

    /// A buffer with room for `len` bytes, and with any contents.
    fn take(&self, len: usize) -> Vec<u8> {
        let mut buffers = self.buffers();
        // The smallest that is large enough.
        let fits = (0..buffers.len()).filter(|&i| buffers[i].capacity() >= len);
        let found = fits.min_by_key(|&i| buffers[i].capacity());
        found.map_or_else(|| Vec::with_capacity(len), |i| buffers.swap_remove(i))
    }

    /// An empty buffer with room for `len` bytes.
    pub(crate) fn empty(&self, len: usize) -> Vec<u8> {
        let mut buffer = self.take(len);
        buffer.clear();
        buffer
    }

    /// A buffer of `len` bytes, whatever they are.
    pub(crate) fn filled(&self, len: usize) -> Vec<u8> {
        let mut buffer = self.take(len);
        buffer.resize(len, 0);
        buffer
    }

    /// Takes a buffer back. If others still use it, the last of them gives it.
    pub(crate) fn give(&self, buffer: Arc<Vec<u8>>) {
        if let Some(buffer) = Arc::into_inner(buffer) {
            let mut buffers = self.buffers();
            if buffers.len() < MOST && buffer.capacity() > 0 {
                buffers.push(buffer);
            }
        }
    }

    /// Bytes of each buffer.
    #[cfg(test)]
    pub(crate) fn capacities(&self) -> Vec<usize> {
        self.buffers().iter().map(Vec::capacity).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_when_nobody_uses_them() {
        let pool = Pool::default();
        let large = Arc::new(pool.filled(1000));
        let small = Arc::new(pool.filled(10));
        let (address, other) = (large.as_ptr(), Arc::clone(&large));
        pool.give(large);
        pool.give(small);
        let in_between = pool.empty(500);
        assert_ne!(in_between.as_ptr(), address);
        pool.give(other);
        let buffer = pool.filled(500);
        assert_eq!((buffer.as_ptr(), buffer.len()), (address, 500));
    }
}
