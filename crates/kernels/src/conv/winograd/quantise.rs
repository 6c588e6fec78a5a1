//! Quantisation of coefficients to 16-bit integers.
//!
//! Coefficients of f32 activations are multiplied in f32. Coefficients of bfloat16 activations are
//! rounded to 16-bit integers, two in a word. F(4x4) amplifies rounding errors beyond the 8-bit
//! significand of bfloat16, but not beyond 16 bits. Dot products of 16-bit integers (`vpdpwssd`)
//! are as fast as those of bfloat16 (`vdpbf16ps`).
//!
//! Both operands of a matrix product have quantisation scales: one for each row of the left, one
//! for each column of the right. They keep the Euclidean norms of integers below two limits, so
//! that no sum overflows 32 bits (Cauchy and Schwarz). The norm of coefficients is bounded before
//! they are computed, by that of the pixels times
//! [`OperandTransform::NORMS`](super::transform::OperandTransform) along both sides. Channels of
//! the depth share a scale, so [equalisation](super::equalisation) comes first.

use crate::{isa::Vector, scalar::Scalar};

/// The largest integer, with room for rounding errors below 2^15.
const MAX_INT16: f32 = 32_000.0;
/// The largest norms of rows and of columns of a product over channels. Their product is below
/// 2^31. The norm of a tile is bounded, by about six times its value; that of weights is computed.
pub(super) const TILE_NORM: f32 = 128_000.0;
pub(super) const WEIGHT_NORM: f32 = 16_000.0;
/// The largest norms of rows and of columns of a product over tiles.
pub(super) const INPUT_NORM: f32 = 64_000.0;
pub(super) const GRADIENT_NORM: f32 = 32_000.0;

/// The most channels. The error grows with the root of their number; with twice as many, the worst
/// of many outputs would be off by more than 2% of their root mean square.
pub(super) const MAX_INT16_CHANNELS: usize = 512;

/// Whether coefficients are pairs of 16-bit integers.
pub(super) const fn is_int16<T: Scalar>() -> bool {
    T::PACK == 2
}

/// `sum + a * b`, of words: a fused multiply-add, or a dot product of pairs.
#[inline(always)]
pub(super) fn multiply<T: Scalar, V: Vector>(a: V, b: V, sum: V) -> V {
    if is_int16::<T>() { sum.dot2_i16(a, b) } else { a.mul_add(b, sum) }
}

/// The f32 values of the channels of `V::LANES` words, in the order of [`Scalar::load_words`].
///
/// # Safety
/// `p` must hold the values of these words.
#[inline(always)]
pub(super) unsafe fn load_f32_words<T: Scalar, V: Vector>(p: *const f32) -> [V; 2] {
    // SAFETY: the caller's contract.
    unsafe {
        if is_int16::<T>() {
            V::deinterleave(V::load(p), V::load(p.add(V::LANES)))
        } else {
            [V::load(p), V::zero()]
        }
    }
}

/// The channel at a position of planes of pairs of tiles. Channels are deinterleaved as
/// [`Scalar::load_words`] reads them: of each two vectors, the first holds the even ones.
#[inline(always)]
pub(super) fn channel_at<T: Scalar, V: Vector>(place: usize) -> usize {
    if !is_int16::<T>() {
        return place;
    }
    let (group, at) = (place / (2 * V::LANES), place % (2 * V::LANES));
    group * 2 * V::LANES + at % V::LANES * 2 + at / V::LANES
}

/// The quantisation scale of a row or column, and its dequantisation scale, the inverse. `total` is
/// the sum of squares of its values, `most` a bound of the square of each, and `limit` the largest
/// norm of its integers.
///
/// The dequantisation scale is not finite where a value is infinite or NaN, or a square overflows.
#[inline(always)]
pub(super) fn scale(total: f32, most: f32, limit: f32) -> (f32, f32) {
    // Not `max`, which would hide NaN and negative infinity.
    let total = if total.abs() < TINY { TINY } else { total };
    let (mut dequant, range) = (total.sqrt() / limit, most.sqrt() / MAX_INT16);
    if range > dequant {
        dequant = range;
    }
    (1.0 / dequant, dequant)
}

/// Sums of squares below this may have lost terms to underflow.
const TINY: f32 = 1e-36;

/// A running sum of squares, by lane.
#[derive(Clone, Copy)]
pub(super) struct SumOfSquares<V> {
    pub(super) total: V,
    /// The largest term.
    pub(super) largest: V,
}

impl<V: Vector> SumOfSquares<V> {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        SumOfSquares { total: V::zero(), largest: V::zero() }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, squares: V) {
        self.total = self.total.add(squares);
        self.largest = self.largest.max(squares);
    }

    /// The scales of all lanes together.
    #[inline(always)]
    pub(super) fn scale(self, limit: f32) -> (f32, f32) {
        let (total, most) = (lanes(self.total), lanes(self.largest));
        let (mut sum, mut largest) = (0.0, 0.0);
        for lane in 0..V::LANES {
            sum += total[lane];
            if most[lane] > largest {
                largest = most[lane];
            }
        }
        scale(sum, largest, limit)
    }

    /// The scales of each lane.
    #[inline(always)]
    pub(super) fn scales(self, limit: f32) -> (V, V) {
        let (total, most) = (lanes(self.total), lanes(self.largest));
        let (mut quant, mut dequant) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
        for lane in 0..V::LANES {
            (quant[lane], dequant[lane]) = scale(total[lane], most[lane], limit);
        }
        (V::read(&quant), V::read(&dequant))
    }
}

#[inline(always)]
fn lanes<V: Vector>(v: V) -> [f32; MAX_LANES] {
    let mut lanes = [0.0; MAX_LANES];
    v.write(&mut lanes);
    lanes
}

/// The sum of all lanes, in order.
#[inline(always)]
pub(super) fn sum_of_lanes<V: Vector>(v: V) -> f32 {
    lanes(v).iter().sum()
}

/// The largest power of two that is at most a positive number; 0 for a subnormal number, infinity
/// for one that is not finite.
#[inline(always)]
pub(super) fn power_of_two(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & f32::INFINITY.to_bits())
}

/// Lanes of the widest vector.
const MAX_LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_keep_to_both_limits() {
        for total in [0.0, 1e-44] {
            let (quant, dequant) = scale(total, total, TILE_NORM);
            assert!(quant.is_normal() && dequant.is_normal());
        }
        for (total, most) in [(4.0f32, 4.0f32), (1e6, 1.0), (1e-30, 1e-35), (1e30, 1e30)] {
            let (quant, dequant) = scale(total, most, TILE_NORM);
            assert!(
                total.sqrt() * quant < 1.001 * TILE_NORM && most.sqrt() * quant < 1.001 * MAX_INT16
            );
            assert!((quant * dequant - 1.0).abs() < 1e-6);
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!scale(bad, 1.0, TILE_NORM).1.is_finite());
        }
        assert!(f64::from(TILE_NORM) * f64::from(WEIGHT_NORM) < 0.96 * f64::from(1u32 << 31));
        assert!(f64::from(INPUT_NORM) * f64::from(GRADIENT_NORM) < 0.96 * f64::from(1u32 << 31));
    }
}
