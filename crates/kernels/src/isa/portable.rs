//! Plain Rust in four lanes, which compilers turn into the baseline vectors of any machine.

use super::{kernel::Kernel, vector::Vector};
use crate::bf16::{bf16_to_f32, f32_to_bf16};

/// Rows of a register tile, `mr` in BLIS. 4 x 2 accumulators leave room for an unfused product
/// among 16 registers.
const MR: usize = 4;

/// Runs a kernel without special instructions.
pub(super) fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<F32x4, MR>()
}

#[derive(Clone, Copy)]
pub(crate) struct F32x4([f32; 4]);

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        F32x4(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Vector for F32x4 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        F32x4([x; 4])
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller vouches for four values; unaligned reads are allowed.
        F32x4(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller vouches for four values; unaligned writes are allowed.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: the caller vouches for four values; unaligned reads are allowed.
        F32x4(unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(bf16_to_f32))
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16) {
        // SAFETY: the caller vouches for four values; unaligned writes are allowed.
        unsafe { p.cast::<[u16; 4]>().write_unaligned(self.0.map(f32_to_bf16)) }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // Two roundings: a fused one would be a function call on baseline machines.
        self.mul(b).add(c)
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        F32x4(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    fn shift_to_exponent(self) -> Self {
        F32x4(self.0.map(|x| f32::from_bits(x.to_bits() << 23)))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b || a.is_nan() { a } else { b })
    }

    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        self.zip(mask, |a, g| if g > 0.0 { a } else { 0.0 })
    }

    #[inline(always)]
    fn where_equal(self, a: Self, b: Self) -> Self {
        F32x4(std::array::from_fn(|i| if a.0[i] == b.0[i] { self.0[i] } else { 0.0 }))
    }

    #[inline(always)]
    fn low_bf16(self) -> Self {
        F32x4(self.0.map(|x| f32::from_bits(x.to_bits() << 16)))
    }

    #[inline(always)]
    fn high_bf16(self) -> Self {
        F32x4(self.0.map(|x| f32::from_bits(x.to_bits() & 0xFFFF_0000)))
    }

    #[inline(always)]
    fn pair_bf16(low: Self, high: Self) -> Self {
        let word = |low, high| u32::from(f32_to_bf16(low)) | u32::from(f32_to_bf16(high)) << 16;
        low.zip(high, |low, high| f32::from_bits(word(low, high)))
    }

    #[inline(always)]
    fn pair_i16(low: Self, high: Self, scales: [Self; 2]) -> Self {
        let round = |x: Self, scale| x.mul_add(scale, Self::splat(Self::ROUND));
        let word = |low: f32, high: f32| low.to_bits() & 0xFFFF | high.to_bits() << 16;
        let (low, high) = (round(low, scales[0]), round(high, scales[1]));
        low.zip(high, |low, high| f32::from_bits(word(low, high)))
    }

    #[inline(always)]
    fn deinterleave(a: Self, b: Self) -> [Self; 2] {
        let ([a, b, c, d], [e, f, g, h]) = (a.0, b.0);
        [F32x4([a, c, e, g]), F32x4([b, d, f, h])]
    }

    #[inline(always)]
    fn permute(self, from: Self) -> Self {
        F32x4(from.0.map(|lane| self.0[lane.to_bits() as usize % 4]))
    }

    #[inline(always)]
    fn interleave(even: Self, odd: Self) -> [Self; 2] {
        let ([a, b, c, d], [e, f, g, h]) = (even.0, odd.0);
        [F32x4([a, e, b, f]), F32x4([c, g, d, h])]
    }

    #[inline(always)]
    fn dot2_i16(self, a: Self, b: Self) -> Self {
        let halves = |x: f32| [x.to_bits() as i16, (x.to_bits() >> 16) as i16].map(i32::from);
        F32x4(std::array::from_fn(|i| {
            let (a, b) = (halves(a.0[i]), halves(b.0[i]));
            let products = (a[0] * b[0]).wrapping_add(a[1] * b[1]);
            f32::from_bits((self.0[i].to_bits() as i32).wrapping_add(products) as u32)
        }))
    }

    #[inline(always)]
    fn i32_to_f32(self) -> Self {
        F32x4(self.0.map(|x| x.to_bits() as i32 as f32))
    }
}
