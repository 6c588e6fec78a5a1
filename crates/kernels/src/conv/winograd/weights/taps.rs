//! Gathered weights, and their transform.

use std::ops::Range;

use super::quant_scales::{OutputScales, QuantScales};
use crate::{
    conv::winograd::{quantise::is_int16, transform::UnscaledTransform},
    isa::Vector,
    scalar::Scalar,
};

/// Lines of coefficients that are computed at once. Two share sums; more would not fit in
/// registers. So few coefficients of a block of the depth stay in a cache, next to the tiles that
/// they are multiplied with.
pub(in crate::conv::winograd) const LINES: [Range<usize>; 4] = [0..1, 1..3, 3..5, 5..6];
/// The most lines of a group.
pub(in crate::conv::winograd) const MOST_LINES: usize = 2;

/// The nine weights (taps) of each value of the depth, with outputs next to each other.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv::winograd) struct Taps {
    pub(super) start: *mut f32,
    /// Words from one position of the window to the next.
    pub(super) window: isize,
    /// Words from one value of the depth to the next.
    pub(super) value: usize,
}

impl Taps {
    /// The taps that [`RawWeights::gather`](super::RawWeights::gather) has copied.
    pub(in crate::conv::winograd) fn gathered(rows: *mut f32, width: usize) -> Self {
        // Rotated by 180 degrees: from the last tap to the first.
        let start = rows.wrapping_add(8 * width);
        Taps { start, window: -(width as isize), value: 9 * width }
    }

    /// A row of the window of a value of the depth, for a vector of outputs.
    ///
    /// # Safety
    /// The weights must be there.
    #[inline(always)]
    pub(super) unsafe fn row<V: Vector>(&self, k: usize, lane: usize, row: usize) -> [V; 3] {
        // SAFETY: the caller's contract.
        unsafe {
            let row = self.start.add(k * self.value + lane).offset(3 * row as isize * self.window);
            [V::load(row), V::load(row.offset(self.window)), V::load(row.offset(2 * self.window))]
        }
    }

    /// Divides the weights of each output, of some values of the depth, by a power of two next to
    /// the largest. Returns the divisors.
    ///
    /// # Safety
    /// As [`Taps::transform`]; nobody else may use the weights.
    #[inline(always)]
    pub(in crate::conv::winograd) unsafe fn normalize<V: Vector>(
        &self,
        depth: Range<usize>,
        width: usize,
    ) -> OutputScales {
        let mut most = OutputScales([0.0; 32]);
        // SAFETY: the caller's contract.
        unsafe {
            self.largest::<V>(depth.clone(), width, &mut most);
            let lanes = most.powers_of_two();
            self.divide::<V>(depth, width, &lanes);
            lanes
        }
    }

    /// `most = max(most, |w|)` for each output, over its weights of some values of the depth.
    ///
    /// # Safety
    /// As [`Taps::transform`].
    #[inline(always)]
    pub(super) unsafe fn largest<V: Vector>(
        &self,
        depth: Range<usize>,
        width: usize,
        most: &mut OutputScales,
    ) {
        for (k, lane) in depth.flat_map(|k| (0..width).step_by(V::LANES).map(move |n| (k, n))) {
            let mut largest = V::read(&most.0[lane..]);
            for row in 0..3 {
                // SAFETY: the caller's contract.
                for w in unsafe { self.row::<V>(k, lane, row) } {
                    largest = largest.max(w.max(V::zero().sub(w)));
                }
            }
            largest.write(&mut most.0[lane..]);
        }
    }

    /// Divides the weights of each output, of some values of the depth, by powers of two.
    ///
    /// # Safety
    /// As [`Taps::normalize`].
    #[inline(always)]
    pub(super) unsafe fn divide<V: Vector>(
        &self,
        depth: Range<usize>,
        width: usize,
        lanes: &OutputScales,
    ) {
        let inverse = lanes.0.map(|x| 1.0 / x);
        for (k, lane) in depth.flat_map(|k| (0..width).step_by(V::LANES).map(move |n| (k, n))) {
            let inverse = V::read(&inverse[lane..]);
            for window in 0..9 {
                // SAFETY: the caller's contract.
                unsafe {
                    let at = self.start.add(k * self.value + lane).offset(window * self.window);
                    V::load(at).mul(inverse).store(at);
                }
            }
        }
    }

    /// Computes the coefficients of a [group of lines](LINES), of some values of the depth:
    /// `[word][width]`, `stride` words apart from one coefficient to the next. Integers are of
    /// [unscaled](UnscaledTransform::unscaled) ones.
    ///
    /// # Safety
    /// The weights must be there, `width` of them a multiple of the lanes and at most 32; `to` must
    /// have room.
    #[inline(always)]
    pub(in crate::conv::winograd) unsafe fn transform<
        L: UnscaledTransform,
        T: Scalar,
        V: Vector,
    >(
        &self,
        group: usize,
        depth: Range<usize>,
        width: usize,
        quant: &QuantScales,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match group {
                0 => self.words::<L, T, V, 0, 1>(depth, width, quant, to, stride),
                1 => self.words::<L, T, V, 1, 2>(depth, width, quant, to, stride),
                2 => self.words::<L, T, V, 3, 2>(depth, width, quant, to, stride),
                _ => self.words::<L, T, V, 5, 1>(depth, width, quant, to, stride),
            }
        }
    }

    /// The coefficients of `N` lines from `I` on.
    ///
    /// # Safety
    /// As [`Taps::transform`].
    #[inline(always)]
    unsafe fn words<L: UnscaledTransform, T: Scalar, V: Vector, const I: usize, const N: usize>(
        &self,
        depth: Range<usize>,
        width: usize,
        quant: &QuantScales,
        to: *mut f32,
        stride: usize,
    ) {
        for word in 0..depth.len() / T::PACK {
            let k = depth.start + word * T::PACK;
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract.
                unsafe {
                    let to = to.add(word * width + lane);
                    self.lines::<L, T, V, I, N>(k, lane, quant, to, stride);
                }
            }
        }
    }

    /// The coefficients of `N` lines from `I` on, of one word.
    ///
    /// # Safety
    /// As [`Taps::transform`].
    #[inline(always)]
    unsafe fn lines<L: UnscaledTransform, T: Scalar, V: Vector, const I: usize, const N: usize>(
        &self,
        k: usize,
        lane: usize,
        quant: &QuantScales,
        to: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let low = self.half::<L, T, V, I, N>(k, lane);
            let mut high = low;
            if is_int16::<T>() {
                high = self.half::<L, T, V, I, N>(k + 1, lane);
            }
            for i in 0..N {
                let mut coefficients = line::<L, T, V>(&low[i]);
                if is_int16::<T>() {
                    for (j, next) in line::<L, T, V>(&high[i]).into_iter().enumerate() {
                        let quant = V::load(quant.0[6 * (I + i) + j].as_ptr().add(lane));
                        coefficients[j] = V::pair_i16(coefficients[j], next, [quant; 2]);
                    }
                }
                for (j, u) in coefficients.into_iter().enumerate() {
                    u.store(to.add((6 * i + j) * stride));
                }
            }
        }
    }

    /// `N` lines of `G g` from `I` on, of one value of the depth.
    ///
    /// # Safety
    /// The weights must be there.
    #[inline(always)]
    unsafe fn half<L: UnscaledTransform, T: Scalar, V: Vector, const I: usize, const N: usize>(
        &self,
        k: usize,
        lane: usize,
    ) -> [[V; 3]; N] {
        let mut half = [[V::zero(); 3]; N];
        // SAFETY: the caller's contract.
        let rows = unsafe {
            [self.row::<V>(k, lane, 0), self.row::<V>(k, lane, 1), self.row::<V>(k, lane, 2)]
        };
        for column in 0..3 {
            let g = [rows[0][column], rows[1][column], rows[2][column]];
            // The compiler drops the lines that are not used.
            let all = line::<L, T, V>(&g);
            for i in 0..N {
                half[i][column] = all[I + i];
            }
        }
        half
    }
}

/// `G g`, unscaled for integers.
#[inline(always)]
fn line<L: UnscaledTransform, T: Scalar, V: Vector>(g: &[V; 3]) -> [V; 6] {
    if is_int16::<T>() { L::unscaled(g) } else { L::apply(g) }
}
