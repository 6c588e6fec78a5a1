//! Software prefetching.

use std::ops::Range;

use super::grid::Grid;
use crate::{chunks::DisjointChunks, isa::Vector, memory::LINE, scalar::Scalar};

/// Cache lines to prefetch while a matrix product runs. The product is compute-bound, so memory is
/// free meanwhile. A core tracks few outstanding misses at once, so each step prefetches a few
/// lines.
#[derive(Clone, Copy)]
pub(super) struct Prefetcher {
    spans: [Span; 2],
    /// Lines per step.
    each: usize,
}

/// The cache lines of rows at equal distances.
#[derive(Clone, Copy)]
struct Span {
    start: *const u8,
    /// Bytes from one row to the next.
    row: usize,
    /// Binary logarithm of the lines of a row.
    shift: u32,
    /// The next line, and the number of lines.
    next: usize,
    count: usize,
}

impl Span {
    const NONE: Self = Span { start: std::ptr::null(), row: 0, shift: 0, next: 0, count: 0 };

    /// The lines of consecutive values.
    fn values<T>(start: *const T, count: usize) -> Self {
        let count = (count * size_of::<T>()).div_ceil(LINE);
        // All in one row.
        Span { start: start.cast(), row: 0, shift: usize::BITS - 1, next: 0, count }
    }
}

impl Prefetcher {
    /// Prefetches nothing.
    pub(super) const NONE: Self = Prefetcher { spans: [Span::NONE; 2], each: 0 };

    /// What a block of tiles needs after its products: its own outputs, and the tiles that follow,
    /// which in most cases are the next block's input.
    pub(super) fn block<X: Scalar, T: Scalar>(
        (input, x): (&Grid, &[X]),
        (output, y): (&Grid, &DisjointChunks<'_, T>),
        tiles: Range<usize>,
    ) -> Self {
        let rows = input.rows(tiles.end..tiles.end + tiles.len());
        let x = &x[rows.start.min(x.len())..rows.end.min(x.len())];
        let rows = output.rows(tiles);
        let y = y.as_mut_ptr().cast_const().wrapping_add(rows.start);
        Prefetcher {
            spans: [Span::values(x.as_ptr(), x.len()), Span::values(y, rows.len())],
            each: 0,
        }
    }

    /// Prefetches consecutive values.
    pub(super) fn values(values: &[f32]) -> Self {
        let span = Span::values(values.as_ptr(), values.len());
        Prefetcher { spans: [span, Span::NONE], each: 0 }
    }

    /// Prefetches rows of `width` values, a power of two, that start `stride` values apart.
    pub(super) fn rows(start: *const f32, stride: usize, width: usize, rows: usize) -> Self {
        let of_row = (width * size_of::<f32>()).div_ceil(LINE);
        let span = Span {
            start: start.cast(),
            row: stride * size_of::<f32>(),
            shift: of_row.ilog2(),
            next: 0,
            count: rows << of_row.ilog2(),
        };
        Prefetcher { spans: [span, Span::NONE], each: 0 }
    }

    /// The same lines, spread over `steps` calls of [`Prefetcher::prefetch`].
    #[must_use]
    pub(super) fn in_steps(mut self, steps: usize) -> Self {
        let lines = self.spans.iter().map(|span| span.count).sum::<usize>();
        self.each = lines.div_ceil(steps.max(1));
        self
    }

    /// Prefetches the lines of the next step.
    #[inline(always)]
    pub(super) fn prefetch<V: Vector>(&mut self) {
        for _ in 0..self.each {
            let [first, second] = &mut self.spans;
            let span = if first.next < first.count { first } else { second };
            if span.next == span.count {
                return;
            }
            let line = span.next;
            span.next += 1;
            let (row, at) = (line >> span.shift, line & ((1 << span.shift) - 1));
            V::prefetch(span.start.wrapping_add(row * span.row + at * LINE));
        }
    }
}
