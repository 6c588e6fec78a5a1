//! Asking for memory before it is wanted.

use std::ops::Range;

use super::grid::Grid;
use crate::{chunks::DisjointChunks, isa::Vector, memory::LINE, scalar::Scalar};

/// Cache lines that products ask for, a few between two of their steps: they leave memory alone, and a
/// machine follows only so many requests at once.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    spans: [Span; 2],
    /// Lines of a step.
    each: usize,
}

/// Lines of some rows.
#[derive(Clone, Copy)]
struct Span {
    start: *const u8,
    /// Bytes from one row to the next.
    row: usize,
    /// Of a row's lines, a power of two.
    shift: u32,
    /// The next line, and their number.
    next: usize,
    count: usize,
}

impl Span {
    const NONE: Self = Span { start: std::ptr::null(), row: 0, shift: 0, next: 0, count: 0 };

    /// Consecutive values.
    fn values<T>(start: *const T, count: usize) -> Self {
        let count = (count * size_of::<T>()).div_ceil(LINE);
        // All in one row.
        Span { start: start.cast(), row: 0, shift: usize::BITS - 1, next: 0, count }
    }
}

impl Ahead {
    /// Nothing.
    pub(super) const NONE: Self = Ahead { spans: [Span::NONE; 2], each: 0 };

    /// What a block of tiles wants when its products are done: its own outputs, and what is most often
    /// the next block's input.
    pub(super) fn block<X: Scalar, T: Scalar>(
        (input, x): (&Grid, &[X]),
        (output, y): (&Grid, &DisjointChunks<'_, T>),
        tiles: Range<usize>,
    ) -> Self {
        let rows = input.rows(tiles.end..tiles.end + tiles.len());
        let x = &x[rows.start.min(x.len())..rows.end.min(x.len())];
        let rows = output.rows(tiles);
        let y = y.as_mut_ptr().cast_const().wrapping_add(rows.start);
        Ahead { spans: [Span::values(x.as_ptr(), x.len()), Span::values(y, rows.len())], each: 0 }
    }

    /// Consecutive values.
    pub(super) fn values(values: &[f32]) -> Self {
        let span = Span::values(values.as_ptr(), values.len());
        Ahead { spans: [span, Span::NONE], each: 0 }
    }

    /// Some rows, so many values apart, of which each is `width` values, a power of two.
    pub(super) fn rows(start: *const f32, apart: usize, width: usize, rows: usize) -> Self {
        let of_row = (width * size_of::<f32>()).div_ceil(LINE);
        let span = Span {
            start: start.cast(),
            row: apart * size_of::<f32>(),
            shift: of_row.ilog2(),
            next: 0,
            count: rows << of_row.ilog2(),
        };
        Ahead { spans: [span, Span::NONE], each: 0 }
    }

    /// The same, in so many steps.
    #[must_use]
    pub(super) fn over(mut self, steps: usize) -> Self {
        let lines = self.spans.iter().map(|span| span.count).sum::<usize>();
        self.each = lines.div_ceil(steps.max(1));
        self
    }

    /// A step.
    #[inline(always)]
    pub(super) fn ask<V: Vector>(&mut self) {
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
