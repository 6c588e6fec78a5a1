//! The forms of Winograd's algorithm.

use std::ops::Range;

use super::{
    strided,
    transform::WeightAdjoint,
    weights::{self, Apart},
};
use crate::{element::Element, isa::Vector};

/// What tiles and windows are transformed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// F(2x2, 3x3), in bfloat16.
    Two,
    /// F(4x4, 3x3), in f32.
    Four,
    /// F(4x4, 3x3) with a stride of 2, in f32.
    Strided,
}

impl Form {
    /// The form of a convolution of stride 1.
    pub(super) const fn of<E: Element>() -> Form {
        if E::PACK == 1 { Form::Four } else { Form::Two }
    }

    /// Elements of a line of a window, and of a tile.
    const fn lines(self) -> (usize, usize) {
        match self {
            Form::Two => (4, 4),
            Form::Four => (6, 6),
            Form::Strided => (6, 9),
        }
    }

    /// Elements of a window.
    pub(super) const fn weights(self) -> usize {
        self.lines().0 * self.lines().0
    }

    /// Elements of a tile.
    pub(super) const fn elements(self) -> usize {
        self.lines().1 * self.lines().1
    }

    /// The elements of a tile that one of a window meets.
    #[inline(always)]
    pub(super) fn sharing(self, weight: usize) -> impl Iterator<Item = usize> {
        let (window, tile) = self.lines();
        // Those of a line that the window lacks meet its last.
        let shared = |i: usize| -> Range<usize> { i..if i + 1 < window { i + 1 } else { tile } };
        let columns = shared(weight % window);
        shared(weight / window).flat_map(move |i| columns.clone().map(move |j| i * tile + j))
    }

    /// [`weights::unpack_row`], by the adjoint of the window's transform.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub(super) unsafe fn unpack_row<V: Vector>(
        self,
        sums: *const f32,
        apart: Apart,
        channels: usize,
        dw: *mut f32,
        tap: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Form::Two => {
                    weights::unpack_row::<WeightAdjoint, V, 4>(sums, apart, channels, dw, tap)
                }
                Form::Four => {
                    weights::unpack_row::<WeightAdjoint, V, 6>(sums, apart, channels, dw, tap)
                }
                Form::Strided => {
                    weights::unpack_row::<strided::WeightAdjoint, V, 6>(
                        sums, apart, channels, dw, tap,
                    );
                }
            }
        }
    }
}
