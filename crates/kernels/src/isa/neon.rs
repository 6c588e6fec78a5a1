//! NEON: 32 registers of 4 lanes.

use std::arch::aarch64::*;

use super::{kernel::Kernel, vector::Vector};

/// Rows of a register tile, `mr` in BLIS. 8 x 2 vectors are 16 accumulators, enough to hide the
/// latency of four fused multiply-adds per cycle.
const MR: usize = 8;

/// Runs a kernel with NEON.
///
/// # Safety
/// The machine must have the features named here.
#[target_feature(enable = "neon")]
pub(super) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<F32x4, MR>()
}

#[derive(Clone, Copy)]
pub(crate) struct F32x4(float32x4_t);

impl F32x4 {
    #[inline(always)]
    fn from_bits(bits: uint32x4_t) -> Self {
        // SAFETY: as below.
        F32x4(unsafe { vreinterpretq_f32_u32(bits) })
    }

    #[inline(always)]
    fn bits(self) -> uint32x4_t {
        // SAFETY: as below.
        unsafe { vreinterpretq_u32_f32(self.0) }
    }

    /// Bits whose upper halves are rounded to nearest even bfloat16; what is below means nothing.
    #[inline(always)]
    fn rounded(self) -> uint32x4_t {
        // SAFETY: as below.
        unsafe {
            let bits = self.bits();
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
            let number = vceqq_f32(self.0, self.0);
            vbslq_u32(number, rounded, vdupq_n_u32(0x7FC0_0000))
        }
    }
}

// SAFETY (all blocks below): values of this type are made only under `enter`, so the machine has
// NEON; pointers are as valid as the trait's contract demands.
impl Vector for F32x4 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vdupq_n_f32(x) })
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vld1q_f32(p) })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { vst1q_f32(p, self.0) }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vshll_n_u16::<16>(vld1_u16(p)) })
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16) {
        // SAFETY: see above.
        unsafe { vst1_u16(p, vshrn_n_u32::<16>(self.rounded())) }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vfmaq_f32(c.0, self.0, b.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vdivq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vsqrtq_f32(self.0) })
    }

    #[inline(always)]
    fn shift_to_exponent(self) -> Self {
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vshlq_n_u32::<23>(self.bits()) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // The instruction yields NaN where either is.
        // SAFETY: see above.
        F32x4(unsafe { vmaxq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vandq_u32(self.bits(), vcgtzq_f32(mask.0)) })
    }

    #[inline(always)]
    fn where_equal(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vandq_u32(self.bits(), vceqq_f32(a.0, b.0)) })
    }

    #[inline(always)]
    fn low_bf16(self) -> Self {
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vshlq_n_u32::<16>(self.bits()) })
    }

    #[inline(always)]
    fn high_bf16(self) -> Self {
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vandq_u32(self.bits(), vdupq_n_u32(0xFFFF_0000)) })
    }

    #[inline(always)]
    fn pair_bf16(low: Self, high: Self) -> Self {
        // The upper halves of `low` go below those of `high`.
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vsriq_n_u32::<16>(high.rounded(), low.rounded()) })
    }

    #[inline(always)]
    fn pair_i16(low: Self, high: Self, scales: [Self; 2]) -> Self {
        let round = Self::splat(Self::ROUND);
        let (low, high) = (low.mul_add(scales[0], round), high.mul_add(scales[1], round));
        // SAFETY: see above.
        F32x4::from_bits(unsafe { vsliq_n_u32::<16>(low.bits(), high.bits()) })
    }

    #[inline(always)]
    fn dot2_i16(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let halves = |x: Self| vreinterpretq_s16_u32(x.bits());
            let (a, b) = (halves(a), halves(b));
            let lower = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            let products = vpaddq_s32(lower, vmull_high_s16(a, b));
            let sum = vaddq_s32(vreinterpretq_s32_u32(self.bits()), products);
            F32x4::from_bits(vreinterpretq_u32_s32(sum))
        }
    }

    #[inline(always)]
    fn i32_to_f32(self) -> Self {
        // SAFETY: see above.
        F32x4(unsafe { vcvtq_f32_s32(vreinterpretq_s32_u32(self.bits())) })
    }

    #[inline(always)]
    fn deinterleave(a: Self, b: Self) -> [Self; 2] {
        // SAFETY: see above.
        unsafe { [F32x4(vuzp1q_f32(a.0, b.0)), F32x4(vuzp2q_f32(a.0, b.0))] }
    }

    #[inline(always)]
    fn permute(self, from: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            // Lane `l` is the bytes from `4 l` on.
            let bytes = vmlaq_n_u32(vdupq_n_u32(0x0302_0100), from.bits(), 0x0404_0404);
            let values = vreinterpretq_u8_f32(self.0);
            F32x4(vreinterpretq_f32_u8(vqtbl1q_u8(values, vreinterpretq_u8_u32(bytes))))
        }
    }

    #[inline(always)]
    fn interleave(even: Self, odd: Self) -> [Self; 2] {
        // SAFETY: see above.
        unsafe { [F32x4(vzip1q_f32(even.0, odd.0)), F32x4(vzip2q_f32(even.0, odd.0))] }
    }

    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        scale: Option<Self>,
    ) {
        // SAFETY: see above.
        unsafe {
            // Columns 0 and 2, and 1 and 3, of two rows: pairs that move as 64-bit lanes.
            let columns = |row: usize| {
                let mut a = vld1q_f32(from.add(row * from_stride));
                let mut b = vld1q_f32(from.add((row + 1) * from_stride));
                if let Some(scale) = scale {
                    (a, b) = (vmulq_f32(a, scale.0), vmulq_f32(b, scale.0));
                }
                [vtrn1q_f32(a, b), vtrn2q_f32(a, b)].map(|x| vreinterpretq_f64_f32(x))
            };
            let (upper, lower) = (columns(0), columns(2));
            for i in 0..2 {
                let first = vreinterpretq_f32_f64(vtrn1q_f64(upper[i], lower[i]));
                let second = vreinterpretq_f32_f64(vtrn2q_f64(upper[i], lower[i]));
                vst1q_f32(to.add(i * to_stride), first);
                vst1q_f32(to.add((i + 2) * to_stride), second);
            }
        }
    }
}
