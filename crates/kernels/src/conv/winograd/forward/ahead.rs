//! Asking for memory before it is wanted.

use std::ops::Range;

use super::ELEMENTS;
use crate::{
    conv::winograd::tiles::Grid, element::Element, isa::Vector, memory::LINE, pool::Parts,
};

/// What a block of tiles wants of memory when its products are done: its own outputs, and what is
/// most often the next block's input.
pub(super) struct Ahead<X, E> {
    x: (*const X, usize),
    y: (*const E, usize),
}

impl<X: Element, E: Element> Ahead<X, E> {
    pub(super) fn new(
        (input, x): (&Grid, &[X]),
        (output, y): (&Grid, &Parts<'_, E>),
        tiles: Range<usize>,
    ) -> Self {
        let rows = input.rows(tiles.end..tiles.end + tiles.len());
        let x = &x[rows.start.min(x.len())..rows.end.min(x.len())];
        let rows = output.rows(tiles);
        let y = y.as_mut_ptr().cast_const().wrapping_add(rows.start);
        Ahead { x: (x.as_ptr(), x.len()), y: (y, rows.len()) }
    }

    /// Asks for an element's share: its products leave memory alone.
    #[inline(always)]
    pub(super) fn ask<V: Vector>(&self, e: usize) {
        share::<X, V>(self.x, e);
        share::<E, V>(self.y, e);
    }
}

#[inline(always)]
fn share<E, V: Vector>((start, len): (*const E, usize), e: usize) {
    for i in (len * e / ELEMENTS..len * (e + 1) / ELEMENTS).step_by(LINE / size_of::<E>()) {
        V::prefetch(start.wrapping_add(i));
    }
}
