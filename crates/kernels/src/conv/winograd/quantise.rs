//! What transformed values are multiplied as.
//!
//! Values of f32 activations are multiplied as they come. Those of bfloat16 ones are rounded to
//! integers of 16 bits, two in a word, whose products machines sum as fast as those of bfloat16
//! pairs: F(4x4) amplifies rounding by too much for eight bits, and by far too little for sixteen.
//!
//! Both sides of a matrix product have scales, the left one for each row and the right one for each
//! column. They keep the integers' Euclidean norms below two limits, so that no sum outgrows 32 bits
//! (Cauchy and Schwarz). The norm of transformed values is bounded before they are there: by that
//! of the pixels, times [`OperandTransform::NORMS`](super::transform::OperandTransform::NORMS) along both sides. Values of
//! the depth share a scale: [factors](super::factors) give each its due.

use crate::{isa::Vector, scalar::Scalar};

/// The largest integer. One less than 2^15 by enough for what rounding adds.
const MAX_INT16: f32 = 32_000.0;
/// Norms of rows and of columns of a product over channels. Their product is less than 2^31. The
/// bound of tiles is some six times their norm, that of weights is exact.
pub(super) const TILE_NORM: f32 = 128_000.0;
pub(super) const WEIGHT_NORM: f32 = 16_000.0;
/// The same of a product over tiles.
pub(super) const INPUT_NORM: f32 = 64_000.0;
pub(super) const GRADIENT_NORM: f32 = 32_000.0;

/// Channels, at most: rounding grows with the root of their number, and with twice as many the worst
/// of many outputs would be off by more than 2% of their root mean square.
pub(super) const MAX_INT16_CHANNELS: usize = 512;

/// Whether transformed values are integers.
pub(super) const fn is_int16<T: Scalar>() -> bool {
    T::PACK == 2
}

/// `sum + a * b`, of words.
#[inline(always)]
pub(super) fn multiply<T: Scalar, V: Vector>(a: V, b: V, sum: V) -> V {
    if is_int16::<T>() { sum.dot2_i16(a, b) } else { a.mul_add(b, sum) }
}

/// Values of `V::LANES` words as [`Scalar::load_words`] reads them, of some for each stored channel.
///
/// # Safety
/// `p` must hold those of these words.
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

/// The channel that planes of pairs of tiles have at a place: in the order in which
/// [`Scalar::load_words`] reads them, so that of each two vectors the first holds the even ones.
#[inline(always)]
pub(super) fn channel_at<T: Scalar, V: Vector>(place: usize) -> usize {
    if !is_int16::<T>() {
        return place;
    }
    let (group, at) = (place / (2 * V::LANES), place % (2 * V::LANES));
    group * 2 * V::LANES + at % V::LANES * 2 + at / V::LANES
}

/// What a row or column is multiplied with to become integers, and what its integers are, given
/// sums of squares: that of all its values, and the largest that bounds the square of one.
///
/// Where a value is infinite or not a number, or a square is too large for one, the latter is none
/// either.
#[inline(always)]
pub(super) fn scale(total: f32, most: f32, limit: f32) -> (f32, f32) {
    // Not `max`, which hides NaN, and an overflow's infinity below zero.
    let total = if total.abs() < TINY { TINY } else { total };
    let (mut dequant, range) = (total.sqrt() / limit, most.sqrt() / MAX_INT16);
    if range > dequant {
        dequant = range;
    }
    (1.0 / dequant, dequant)
}

/// Squares may be lost to underflow where their sum is less.
const TINY: f32 = 1e-36;

/// Sums of squares of values, by lane.
#[derive(Clone, Copy)]
pub(super) struct SumOfSquares<V> {
    pub(super) total: V,
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

    /// [`scale`] of all lanes together.
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

    /// [`scale`] of each lane.
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

/// The power of two at or below a positive number; zero of what is no normal number, infinity of what
/// is not finite.
#[inline(always)]
pub(super) fn power_of_two(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & f32::INFINITY.to_bits())
}

/// OutputScales of the widest vector.
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
