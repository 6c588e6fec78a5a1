//! Slices cut into disjoint parts, for items of work that run at the same time.

use std::marker::PhantomData;

/// What each of many items may be lent.
pub(crate) trait Lend: Sync {
    /// What an item is lent.
    type Part;

    /// What item `i` is lent.
    ///
    /// # Safety
    /// Each may be asked for once.
    unsafe fn lend(&self, i: usize) -> Self::Part;
}

/// A slice cut into chunks of equal length (the last may be shorter), handed out by number.
pub(crate) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    chunk: usize,
    _borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: parts are disjoint and handed out to one thread each (the contract of `get`).
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Cuts a slice.
    pub(crate) fn new(slice: &'a mut [T], chunk: usize) -> Self {
        let (start, len) = (slice.as_mut_ptr(), slice.len());
        Parts { start, len, chunk, _borrow: PhantomData }
    }

    /// The start of the slice, for items whose parts are not consecutive.
    pub(crate) fn as_mut_ptr(&self) -> *mut T {
        self.start
    }

    /// Part `i`: empty after the last.
    ///
    /// # Safety
    /// No two live results may come from the same `i`.
    pub(crate) unsafe fn get(&self, i: usize) -> &'a mut [T] {
        let first = i.saturating_mul(self.chunk).min(self.len);
        let count = self.chunk.min(self.len - first);
        // SAFETY: in bounds, and disjoint from every other part.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), count) }
    }
}

impl<'a, T: Send> Lend for Parts<'a, T> {
    type Part = &'a mut [T];

    unsafe fn lend(&self, i: usize) -> &'a mut [T] {
        // SAFETY: the caller's contract.
        unsafe { self.get(i) }
    }
}

impl<A: Lend, B: Lend> Lend for (A, B) {
    type Part = (A::Part, B::Part);

    unsafe fn lend(&self, i: usize) -> Self::Part {
        // SAFETY: the caller's contract.
        unsafe { (self.0.lend(i), self.1.lend(i)) }
    }
}

impl<A: Lend> Lend for Option<A> {
    type Part = Option<A::Part>;

    unsafe fn lend(&self, i: usize) -> Self::Part {
        // SAFETY: the caller's contract.
        self.as_ref().map(|parts| unsafe { parts.lend(i) })
    }
}

/// Nothing.
impl Lend for () {
    type Part = ();

    unsafe fn lend(&self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    #[test]
    fn parts_are_disjoint() {
        let (mut data, mut more) = (vec![0usize; 10], vec![0u8; 3]);
        let (mut scratch, pool) = (vec![0.0; 6], Pool::new(3).unwrap());
        let parts = (Parts::new(&mut data, 4), Some(Parts::new(&mut more, 1)));
        pool.run_scratch(3, parts, (&mut scratch, 2), |i, (part, more), own| {
            part.fill(i + 1);
            more.unwrap().fill(i as u8);
            own.iter_mut().for_each(|x| *x += 1.0);
        });
        assert_eq!(data, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]);
        assert_eq!(more, [0, 1, 2]);
        assert_eq!(scratch.iter().sum::<f32>(), 6.0);
        let parts = Parts::new(&mut data, 4);
        pool.run_parts(4, parts, |i, part| assert_eq!(part.len(), [4, 4, 2, 0][i]));
    }
}
