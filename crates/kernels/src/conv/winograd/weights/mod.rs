//! Weights to elements, and gradients of elements to those of weights.

mod balance;
mod pack;
mod unpack;

use std::ops::Range;

use super::{
    product::fixed,
    tiles::BLOCK,
    transform::{Half, Line},
};
use crate::{element::Element, isa::Vector};

pub(super) use balance::{balance, sums_len};
pub(super) use pack::{Times, pack};
pub(super) use unpack::{Apart, unpack, unpack_row};

/// Where transformed weights lie: `[element][panel of outputs][k word][2 vectors]`, and what those
/// are worth, if they are integers: `[output]` after each element. What [`balance`] says comes last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Outputs of the product: output channels forward, input channels backward.
    pub(super) outputs: usize,
    /// Words of the depth.
    pub(super) depth: usize,
}

impl Packed {
    /// Words from one element to the next.
    pub(super) fn stride(&self) -> usize {
        self.outputs * (self.depth + 1) + BLOCK
    }

    /// Where an element's units start.
    pub(super) fn units(&self) -> usize {
        self.outputs * self.depth
    }

    /// Where the balance of the depth starts: a word for each of two values in a word.
    pub(super) fn balance(&self, elements: usize) -> usize {
        elements * self.stride()
    }

    pub(super) fn len(&self, elements: usize) -> usize {
        self.balance(elements) + 2 * self.depth
    }
}

/// Weights `[out][3][3][in]` as a product takes them. Forward: lanes are output channels, each
/// times its factor. Backward: the window is turned by half a circle, lanes are input channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'a> {
    pub(super) weights: &'a [f32],
    pub(super) in_channels: usize,
    pub(super) factors: Option<&'a [f32]>,
    pub(super) backward: bool,
}

/// How far ahead a row is asked for: a machine follows few streams by itself.
const AHEAD: usize = 8 * BLOCK;

impl Plain<'_> {
    /// The weights of `width` outputs from `first` on and of some values of the depth, brought
    /// together in `turned`.
    #[inline(always)]
    pub(super) fn taps<V: Vector>(
        &self,
        first: usize,
        width: usize,
        depth: Range<usize>,
        turned: &mut [f32],
    ) -> Taps {
        let channels = self.in_channels;
        let (row, count) = (9 * channels, depth.len());
        assert!(turned.len() >= 9 * count * width && width.is_multiple_of(V::LANES));
        if self.backward {
            assert!(first + width <= channels && self.weights.len() >= row * depth.end);
            let plain = Plain { weights: &self.weights[row * depth.start..], ..*self };
            // SAFETY: as checked.
            unsafe { plain.gather::<V>((first, width), 0..9 * count, 0..0, turned.as_mut_ptr()) };
            return Taps::gathered(turned.as_ptr(), width);
        }
        let from = &self.weights[first * row..(first + width) * row];
        assert!(depth.end <= channels && count.is_multiple_of(V::LANES));
        assert!(self.factors.is_none_or(|f| f.len() >= first + width));
        // Along the rows, which a machine sees as streams.
        for lane in (0..width).step_by(V::LANES) {
            for window in 0..9 {
                for k in (0..count).step_by(V::LANES) {
                    let from = &from[lane * row + window * channels + depth.start + k..];
                    let from = &from[..(V::LANES - 1) * row + V::LANES];
                    let to = (window * count + k) * width + lane;
                    for row in from.chunks(row) {
                        V::prefetch(row.as_ptr().wrapping_add(AHEAD));
                    }
                    // SAFETY: LANES rows of LANES values, within both, as checked above.
                    unsafe {
                        let to = turned.as_mut_ptr().add(to);
                        V::transpose(from.as_ptr(), row, to, width);
                        if let Some(factors) = self.factors {
                            let factor = V::load(factors.as_ptr().add(first + lane));
                            for k in 0..V::LANES {
                                let to = to.add(k * width);
                                V::load(to).mul(factor).store(to);
                            }
                        }
                    }
                }
            }
        }
        Taps { start: turned.as_ptr(), window: (count * width) as isize, value: width }
    }

    /// Copies some rows of the weights, of which each value of the depth has nine, to where
    /// [`Taps::gathered`] finds them: in place they are far apart, by a power of two at that, so that
    /// few fit in a cache. Asks for others.
    ///
    /// # Safety
    /// The weights must have these rows, of at least `first + width` inputs, and `to` room for all.
    #[inline(always)]
    pub(super) unsafe fn gather<V: Vector>(
        &self,
        (first, width): (usize, usize),
        rows: Range<usize>,
        next: Range<usize>,
        to: *mut f32,
    ) {
        for row in next {
            for lane in (0..width).step_by(BLOCK) {
                let at = row * self.in_channels + first + lane;
                V::prefetch(self.weights.as_ptr().wrapping_add(at));
            }
        }
        for row in rows {
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract.
                unsafe {
                    let from = self.weights.as_ptr().add(row * self.in_channels + first + lane);
                    V::load(from).store(to.add(row * width + lane));
                }
            }
        }
    }
}

/// The nine weights of each value of the depth, with outputs next to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    start: *const f32,
    /// Words from one position of the window to the next.
    window: isize,
    /// Words from one value of the depth to the next.
    value: usize,
}

impl Taps {
    /// Of what [`Plain::gather`] brings together.
    pub(super) fn gathered(rows: *const f32, width: usize) -> Self {
        // Turned by half a circle.
        let start = rows.wrapping_add(8 * width);
        Taps { start, window: -(width as isize), value: 9 * width }
    }

    /// Adds squares of elements of some values of the depth, each over its balance.
    ///
    /// # Safety
    /// The weights must be there, `width` of them a multiple of the lanes and at most 32; so must
    /// `balance`.
    #[inline(always)]
    pub(super) unsafe fn measure<L: Line<3, 6>, V: Vector>(
        &self,
        depth: Range<usize>,
        width: usize,
        balance: &[f32],
        squares: &mut Times,
    ) {
        assert!(depth.len().is_multiple_of(2) && balance.len() >= depth.end);
        for lane in (0..width).step_by(V::LANES) {
            for k in depth.clone().step_by(2) {
                // SAFETY: the caller's contract.
                unsafe {
                    // Two, since sums go through memory.
                    let half = self.columns::<L, V>(k, lane, Some(balance[k]));
                    let other = self.columns::<L, V>(k + 1, lane, Some(balance[k + 1]));
                    for i in 0..6 {
                        let (line, other) = (L::line(half.row(i)), L::line(other.row(i)));
                        for (j, (u, other)) in line.into_iter().zip(other).enumerate() {
                            let sum = squares.0[6 * i + j].as_mut_ptr().add(lane);
                            other.mul_add(other, u.mul_add(u, V::load(sum))).store(sum);
                        }
                    }
                }
            }
        }
    }

    /// Elements of some values of the depth: `[word][width]`, elements `stride` words apart. Integers
    /// are of each over its balance.
    ///
    /// # Safety
    /// The weights must be there, `width` of them a multiple of the lanes and at most 32; `to` must
    /// have room.
    #[inline(always)]
    pub(super) unsafe fn elements<L: Line<3, 6>, E: Element, V: Vector>(
        &self,
        depth: Range<usize>,
        width: usize,
        balance: &[f32],
        times: &Times,
        to: *mut f32,
        stride: usize,
    ) {
        assert!(!fixed::<E>() || balance.len() >= depth.end);
        for word in 0..depth.len() / E::PACK {
            let k = depth.start + word * E::PACK;
            let next = k + E::PACK - 1;
            let of = |k: usize| if fixed::<E>() { Some(balance[k]) } else { None };
            let (over, next_over) = (of(k), of(next));
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract.
                unsafe {
                    let half = self.columns::<L, V>(k, lane, over);
                    let mut other = Half::new();
                    if fixed::<E>() {
                        other = self.columns::<L, V>(next, lane, next_over);
                    }
                    for i in 0..6 {
                        let mut line = L::line(half.row(i));
                        if fixed::<E>() {
                            for (j, next) in L::line(other.row(i)).into_iter().enumerate() {
                                let times = V::load(times.0[6 * i + j].as_ptr().add(lane));
                                line[j] = V::pair_i16(line[j], next, [times; 2]);
                            }
                        }
                        let to = to.add(i * 6 * stride + word * width + lane);
                        for (j, u) in line.into_iter().enumerate() {
                            u.store(to.add(j * stride));
                        }
                    }
                }
            }
        }
    }

    /// `G g` of a value of the depth, over a power of two, for a vector of outputs.
    ///
    /// # Safety
    /// The weights must be there.
    #[inline(always)]
    unsafe fn columns<L: Line<3, 6>, V: Vector>(
        &self,
        k: usize,
        lane: usize,
        over: Option<f32>,
    ) -> Half<V, 6, 3> {
        let times = V::splat(1.0 / over.unwrap_or(1.0));
        let mut half = Half::new();
        for column in 0..3 {
            let mut g = [V::zero(); 3];
            for (row, g) in g.iter_mut().enumerate() {
                let window = (3 * row + column) as isize * self.window;
                // SAFETY: the caller's contract.
                *g = unsafe { V::load(self.start.add(k * self.value + lane).offset(window)) };
                if over.is_some() {
                    *g = g.mul(times);
                }
            }
            half.set(column, L::line(&g));
        }
        half
    }
}
