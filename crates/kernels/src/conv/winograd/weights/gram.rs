//! Norms of coefficients of weights, computed from the weights before their transform.

use std::ops::Range;

use super::{quant_scales::QuantScales, taps::Taps};
use crate::{
    conv::winograd::{
        quantise::MAX_INT16_CHANNELS, sums_of_squares::USABLE, transform::UnscaledTransform,
    },
    isa::Vector,
};

/// The Gram matrix of the taps: sums over the depth of products of two taps, for two vectors of
/// outputs.
///
/// The square of a coefficient `sum G_ia G_jb g_ab` is a quadratic form in products `g_ab g_cd`,
/// and so is its sum over the depth. Rows a and c, and columns b and d, come in the same
/// [pairs](pair) for all coefficients: 6 x 6 sums serve them all.
pub(in crate::conv::winograd) struct Gram([[[f32; 32]; 6]; 6]);

/// The six pairs of indices below three: each with itself, then each with the next.
#[inline(always)]
const fn pair(i: usize) -> [usize; 2] {
    if i < 3 { [i, i] } else { [i - 3, (i - 2) % 3] }
}

/// Values of the depth whose taps stay in a cache while all pairs are summed. Each block is summed
/// separately, since short sums round less.
const DEPTH_BLOCK: usize = 32;

/// A bound of rounding errors, relative to `|G_i|^2 |G_j|^2 sum of g_ab^2`, that is added to each
/// sum of squares. Where terms cancel, a sum might be computed too small, and integers would exceed
/// their limit.
///
/// The absolute values of a form's terms add up to at most that product (Cauchy and Schwarz). Each
/// was rounded at most 128 times in a block (two products that are not fused, of 32 values), 16
/// times among blocks, and fewer than 64 times in the form: by less than 2^-16 of it. This is twice
/// that.
const ROUNDING: f32 = 1.0 / (1 << 15) as f32;

impl Gram {
    #[inline(always)]
    pub(in crate::conv::winograd) fn new() -> Self {
        Gram([[[0.0; 32]; 6]; 6])
    }

    /// Adds the products of some values of the depth.
    ///
    /// # Safety
    /// The taps must be there, `width` of them a multiple of the lanes and at most 32.
    #[inline(always)]
    pub(in crate::conv::winograd) unsafe fn add<V: Vector>(
        &mut self,
        taps: &Taps,
        depth: Range<usize>,
        width: usize,
    ) {
        assert!(depth.len() <= MAX_INT16_CHANNELS && MAX_INT16_CHANNELS <= 16 * DEPTH_BLOCK);
        for start in depth.clone().step_by(DEPTH_BLOCK) {
            let block = start..(start + DEPTH_BLOCK).min(depth.end);
            for lane in (0..width).step_by(V::LANES) {
                for row in 0..3 {
                    // SAFETY: the caller's contract.
                    unsafe { self.rows::<V>(taps, block.clone(), lane, row) };
                }
            }
        }
    }

    /// Adds the products of a row with itself and with the next, for a vector of outputs.
    ///
    /// # Safety
    /// As [`Gram::add`].
    #[inline(always)]
    unsafe fn rows<V: Vector>(
        &mut self,
        taps: &Taps,
        depth: Range<usize>,
        lane: usize,
        row: usize,
    ) {
        let (mut same, mut next) = ([V::zero(); 6], [V::zero(); 6]);
        for k in depth {
            // SAFETY: the caller's contract.
            let (x, y) =
                unsafe { (taps.row::<V>(k, lane, row), taps.row::<V>(k, lane, pair(row + 3)[1])) };
            for i in 0..6 {
                let [b, d] = pair(i);
                same[i] = x[b].mul_add(x[d], same[i]);
                next[i] = x[b].mul_add(y[d], next[i]);
                if b != d {
                    next[i] = x[d].mul_add(y[b], next[i]);
                }
            }
        }
        for i in 0..6 {
            for (rows, sum) in [(row, same[i]), (row + 3, next[i])] {
                // SAFETY: there are 32 lanes.
                unsafe {
                    let to = self.0[rows][i].as_mut_ptr().add(lane);
                    sum.add(V::load(to)).store(to);
                }
            }
        }
    }

    /// Whether the sum of squares of all taps of an output is [usable](USABLE), for each of `width`
    /// outputs.
    #[inline(always)]
    pub(in crate::conv::winograd) fn is_usable(&self, width: usize) -> bool {
        let total = |lane: usize| -> f32 {
            self.0[..3].iter().flat_map(|row| &row[..3]).map(|sums| sums[lane]).sum()
        };
        (0..width).all(|lane| USABLE.contains(&total(lane)))
    }

    /// Sums of squares of the [unscaled](UnscaledTransform::unscaled) coefficients, rounded up.
    #[inline(always)]
    pub(in crate::conv::winograd) fn squares<L: UnscaledTransform, V: Vector>(
        &self,
        width: usize,
        squares: &mut QuantScales,
    ) {
        assert!(width <= 32 && width.is_multiple_of(V::LANES));
        // The coefficients of each pair of taps in the square of a coefficient of a line.
        let units = [
            L::unscaled(&[V::splat(1.0), V::zero(), V::zero()]),
            L::unscaled(&[V::zero(), V::splat(1.0), V::zero()]),
            L::unscaled(&[V::zero(), V::zero(), V::splat(1.0)]),
        ];
        let mut counts = [[V::zero(); 6]; 6];
        let mut norms = [V::zero(); 6];
        for i in 0..6 {
            for n in 0..6 {
                let [a, c] = pair(n);
                counts[i][n] = units[a][i].mul(units[c][i]);
            }
            norms[i] = counts[i][0].add(counts[i][1]).add(counts[i][2]);
        }
        for lane in (0..width).step_by(V::LANES) {
            let mut all = V::zero();
            let mut half = [[V::zero(); 6]; 6];
            for rows in 0..6 {
                for columns in 0..6 {
                    // SAFETY: there are 32 lanes.
                    let mut sum = unsafe { V::load(self.0[rows][columns].as_ptr().add(lane)) };
                    if rows < 3 && columns < 3 {
                        all = all.add(sum);
                    } else {
                        // Both orders of two taps.
                        sum = sum.add(sum);
                    }
                    for i in 0..6 {
                        half[i][columns] = counts[i][rows].mul_add(sum, half[i][columns]);
                    }
                }
            }
            for i in 0..6 {
                for j in 0..6 {
                    let most = norms[i].mul(norms[j]).mul(all);
                    let mut sum = most.mul(V::splat(ROUNDING));
                    for columns in 0..6 {
                        sum = counts[j][columns].mul_add(half[i][columns], sum);
                    }
                    // SAFETY: there are 32 lanes.
                    unsafe { sum.store(squares.0[6 * i + j].as_mut_ptr().add(lane)) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conv::winograd::transform::{strided, testing::first, unit_stride},
        isa::{Isa, Kernel},
    };

    struct Check<'a> {
        /// Factors of a window: tap (a, b) is `columns[a] * rows[b]`.
        columns: &'a dyn Fn(usize) -> [f64; 3],
        rows: &'a dyn Fn(usize) -> [f64; 3],
    }

    impl Check<'_> {
        /// Checks that no sum is below that of the squares of coefficients, nor above by more than
        /// rounding.
        #[inline(always)]
        fn bounds<L: UnscaledTransform, V: Vector>(&self) {
            let width = 2 * V::LANES;
            let mut taps = vec![0.0f32; MAX_INT16_CHANNELS * 9 * width];
            for (k, value) in taps.chunks_exact_mut(9 * width).enumerate() {
                for (i, tap) in value.iter_mut().enumerate() {
                    let (lane, window) = (i % width, i / width);
                    let (column, row) = ((self.columns)(k), (self.rows)(k + lane));
                    *tap = (column[window / 3] * row[window % 3]) as f32;
                }
            }
            let all = Taps { start: taps.as_mut_ptr(), window: width as isize, value: 9 * width };
            let (mut gram, mut squares) = (Gram::new(), QuantScales::new());
            // SAFETY: these are the taps of that many values.
            unsafe { gram.add::<V>(&all, 0..MAX_INT16_CHANNELS, width) };
            gram.squares::<L, V>(width, &mut squares);
            let units: [[f64; 6]; 3] = std::array::from_fn(|a| {
                let unit = std::array::from_fn(|n| V::splat(f32::from(u8::from(n == a))));
                first(L::unscaled::<V>(&unit))
            });
            for (e, lane) in (0..36).flat_map(|e| (0..width).map(move |lane| (e, lane))) {
                let (mut want, mut most) = (0.0, 0.0);
                for value in taps.chunks_exact(9 * width) {
                    let mut coefficient = 0.0;
                    for window in 0..9 {
                        let tap = f64::from(value[window * width + lane]);
                        coefficient += units[window / 3][e / 6] * units[window % 3][e % 6] * tap;
                        let square = |a: f64| a * a;
                        let norm = |i: usize| units.iter().map(|u| square(u[i])).sum::<f64>();
                        most += norm(e / 6) * norm(e % 6) * square(tap);
                    }
                    want += coefficient * coefficient;
                }
                let got = f64::from(squares.0[e][lane]);
                assert!(got >= want, "coefficient {e}: {got} for {want}");
                let above = want + 2.0 * f64::from(ROUNDING) * most;
                assert!(got <= above * 1.0001, "coefficient {e}: {got} for {want} of {most}");
            }
        }
    }

    impl Kernel for Check<'_> {
        type Output = ();
        const PAIRS: bool = false;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            self.bounds::<unit_stride::WeightTransform, V>();
            self.bounds::<strided::WeightTransform, V>();
        }
    }

    #[test]
    fn no_sum_is_too_small() {
        // Values without a pattern, of few bits.
        let value = |i: u32| f64::from(i.wrapping_mul(0x9E37_79B9) as i8) / 128.0;
        let values: Vec<f64> = (1..=6 * MAX_INT16_CHANNELS as u32).map(|i| value(i * i)).collect();
        let any = |k: usize| [0, 1, 2].map(|i| values[(3 * k + i) % values.len()]);
        // Windows whose coefficient at one point is zero, or almost.
        for (p, rest) in [(0.0, 1.0), (2.0 / 3.0, 0.0), (-1.5, 1e-3), (1.5, 1e-6), (-1.0, 0.0)] {
            let near = |k: usize| {
                let [a, b, c] = any(k);
                [p * a + rest * b, p * c - a, -c]
            };
            for isa in Isa::to_test() {
                isa.dispatch(Check { columns: &near, rows: &any });
                isa.dispatch(Check { columns: &any, rows: &near });
                isa.dispatch(Check { columns: &near, rows: &near });
            }
        }
    }
}
