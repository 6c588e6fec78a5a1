//! Slices cut into disjoint chunks, for items of work that run at the same time.

use std::marker::PhantomData;

/// What is lent to items of work, one chunk each.
pub(crate) trait Lend: Sync {
    /// What one item is lent.
    type Chunk;

    /// The chunk of item `i`.
    ///
    /// # Safety
    /// Two live chunks must not have the same `i`.
    unsafe fn lend(&self, i: usize) -> Self::Chunk;
}

/// A slice cut into chunks of equal length (the last may be shorter), handed out by number.
pub(crate) struct DisjointChunks<'a, T> {
    start: *mut T,
    len: usize,
    chunk: usize,
    _borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: chunks are disjoint and handed out to one thread each (the contract of `get`).
unsafe impl<T: Send> Send for DisjointChunks<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for DisjointChunks<'_, T> {}

impl<'a, T> DisjointChunks<'a, T> {
    /// Cuts a slice into chunks of `chunk` values. 0 stands for items that take
    /// [`DisjointChunks::as_mut_ptr`].
    pub(crate) fn new(slice: &'a mut [T], chunk: usize) -> Self {
        let (start, len) = (slice.as_mut_ptr(), slice.len());
        DisjointChunks { start, len, chunk, _borrow: PhantomData }
    }

    /// The start of the slice, for items whose values are not consecutive.
    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.start
    }

    /// Chunk `i`, empty after the last.
    ///
    /// # Safety
    /// Two live chunks must not have the same `i`.
    pub(crate) unsafe fn get(&self, i: usize) -> &'a mut [T] {
        let first = i.saturating_mul(self.chunk).min(self.len);
        let count = self.chunk.min(self.len - first);
        // SAFETY: in bounds, and disjoint from every other chunk.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), count) }
    }
}

impl<'a, T: Send> Lend for DisjointChunks<'a, T> {
    type Chunk = &'a mut [T];

    unsafe fn lend(&self, i: usize) -> &'a mut [T] {
        // SAFETY: the caller's contract.
        unsafe { self.get(i) }
    }
}

impl<A: Lend, B: Lend> Lend for (A, B) {
    type Chunk = (A::Chunk, B::Chunk);

    unsafe fn lend(&self, i: usize) -> Self::Chunk {
        // SAFETY: the caller's contract.
        unsafe { (self.0.lend(i), self.1.lend(i)) }
    }
}

impl<A: Lend> Lend for Option<A> {
    type Chunk = Option<A::Chunk>;

    unsafe fn lend(&self, i: usize) -> Self::Chunk {
        // SAFETY: the caller's contract.
        self.as_ref().map(|chunks| unsafe { chunks.lend(i) })
    }
}

/// Lends nothing.
impl Lend for () {
    type Chunk = ();

    unsafe fn lend(&self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn chunks_are_disjoint() {
        let (mut data, mut more) = (vec![0usize; 10], vec![0u8; 3]);
        let (mut scratch, pool) = (vec![0.0; 6], Pool::new(3).unwrap());
        let chunks = (DisjointChunks::new(&mut data, 4), Some(DisjointChunks::new(&mut more, 1)));
        pool.run_scratch(3, chunks, (&mut scratch, 2), |i, (chunk, more), own| {
            chunk.fill(i + 1);
            more.unwrap().fill(i as u8);
            own.iter_mut().for_each(|x| *x += 1.0);
        });
        assert_eq!(data, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]);
        assert_eq!(more, [0, 1, 2]);
        assert_eq!(scratch.iter().sum::<f32>(), 6.0);
        let chunks = DisjointChunks::new(&mut data, 4);
        pool.run_chunks(4, chunks, |i, chunk| assert_eq!(chunk.len(), [4, 4, 2, 0][i]));
    }
}
