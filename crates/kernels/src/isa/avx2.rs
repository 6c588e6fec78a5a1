//! AVX2 with FMA: 16 registers of 8 lanes.

use std::arch::x86_64::*;

use super::{kernel::Kernel, vector::Vector};

/// Rows of a register tile, `mr` in BLIS. 6 x 2 accumulators, two vectors of the right operand and
/// one broadcast of the left fill 15 of the 16 registers.
const MR: usize = 6;

/// Runs a kernel with AVX2.
///
/// # Safety
/// The machine must have the features named here.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<F32x8, MR>()
}

#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

impl F32x8 {
    /// Bits rounded to nearest even bfloat16, in the lower halves of the lanes.
    #[inline(always)]
    fn rounded(self) -> __m256i {
        // SAFETY: as below.
        unsafe {
            let bits = _mm256_castps_si256(self.0);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let round = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
            let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, round));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0));
            _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7FC0), nan)
        }
    }
}

// SAFETY (all blocks below): values of this type are made only under `enter`, so the machine has
// AVX2 and FMA; pointers are as valid as the trait's contract demands.
impl Vector for F32x8 {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_loadu_ps(p) })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            F32x8(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16) {
        // SAFETY: see above.
        unsafe {
            let out = self.rounded();
            // The pack works within 128-bit halves: bring the two low quarters together.
            let packed = _mm256_packus_epi32(out, out);
            let joined = _mm256_permute4x64_epi64::<0b00_00_10_00>(packed);
            _mm_storeu_si128(p.cast(), _mm256_castsi256_si128(joined));
        }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn shift_to_exponent(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let bits = _mm256_slli_epi32::<23>(_mm256_castps_si256(self.0));
            F32x8(_mm256_castsi256_ps(bits))
        }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            // The instruction yields its second operand where one is NaN.
            let max = _mm256_max_ps(self.0, other.0);
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
            F32x8(_mm256_blendv_ps(max, self.0, nan))
        }
    }

    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: see above. Its second operand, where one is NaN.
        F32x8(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
    }

    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let keep = _mm256_cmp_ps::<_CMP_GT_OQ>(mask.0, _mm256_setzero_ps());
            F32x8(_mm256_and_ps(self.0, keep))
        }
    }

    #[inline(always)]
    fn where_equal(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let keep = _mm256_cmp_ps::<_CMP_EQ_OQ>(a.0, b.0);
            F32x8(_mm256_and_ps(self.0, keep))
        }
    }

    #[inline(always)]
    fn prefetch<T>(p: *const T) {
        // SAFETY: a hint, which faults nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    fn low_bf16(self) -> Self {
        // SAFETY: see above.
        unsafe { F32x8(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(self.0)))) }
    }

    #[inline(always)]
    fn high_bf16(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let upper = _mm256_set1_epi32(0xFFFF_0000_u32 as i32);
            F32x8(_mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(self.0), upper)))
        }
    }

    #[inline(always)]
    fn pair_bf16(low: Self, high: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let high = _mm256_slli_epi32::<16>(high.rounded());
            F32x8(_mm256_castsi256_ps(_mm256_or_si256(low.rounded(), high)))
        }
    }

    #[inline(always)]
    fn pair_i16(low: Self, high: Self, scales: [Self; 2]) -> Self {
        let round = Self::splat(Self::ROUND);
        let (low, high) = (low.mul_add(scales[0], round), high.mul_add(scales[1], round));
        // SAFETY: see above.
        unsafe {
            let high = _mm256_slli_epi32::<16>(_mm256_castps_si256(high.0));
            let words = _mm256_blend_epi16::<0xAA>(_mm256_castps_si256(low.0), high);
            F32x8(_mm256_castsi256_ps(words))
        }
    }

    #[inline(always)]
    fn dot2_i16(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let products = _mm256_madd_epi16(_mm256_castps_si256(a.0), _mm256_castps_si256(b.0));
            F32x8(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self.0), products)))
        }
    }

    #[inline(always)]
    fn i32_to_f32(self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_cvtepi32_ps(_mm256_castps_si256(self.0)) })
    }

    #[inline(always)]
    fn deinterleave(a: Self, b: Self) -> [Self; 2] {
        // SAFETY: see above.
        unsafe {
            let (lower, upper) = (
                _mm256_permute2f128_ps::<0x20>(a.0, b.0),
                _mm256_permute2f128_ps::<0x31>(a.0, b.0),
            );
            [
                F32x8(_mm256_shuffle_ps::<0x88>(lower, upper)),
                F32x8(_mm256_shuffle_ps::<0xDD>(lower, upper)),
            ]
        }
    }

    #[inline(always)]
    fn permute(self, from: Self) -> Self {
        // SAFETY: see above.
        F32x8(unsafe { _mm256_permutevar8x32_ps(self.0, _mm256_castps_si256(from.0)) })
    }

    #[inline(always)]
    fn interleave(even: Self, odd: Self) -> [Self; 2] {
        // SAFETY: see above.
        unsafe {
            let lower = _mm256_unpacklo_ps(even.0, odd.0);
            let upper = _mm256_unpackhi_ps(even.0, odd.0);
            [
                F32x8(_mm256_permute2f128_ps::<0x20>(lower, upper)),
                F32x8(_mm256_permute2f128_ps::<0x31>(lower, upper)),
            ]
        }
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
            // Loops, not closures: see `Line`.
            let mut pairs = [_mm256_setzero_ps(); 8];
            for i in 0..4 {
                let mut a = _mm256_loadu_ps(from.add(2 * i * from_stride));
                let mut b = _mm256_loadu_ps(from.add((2 * i + 1) * from_stride));
                if let Some(scale) = scale {
                    (a, b) = (_mm256_mul_ps(a, scale.0), _mm256_mul_ps(b, scale.0));
                }
                pairs[2 * i] = _mm256_unpacklo_ps(a, b);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(a, b);
            }
            // Four rows' values of one column of each half, for columns 0 to 3.
            let mut quads = [[_mm256_setzero_ps(); 4]; 2];
            for (half, quad) in quads.iter_mut().enumerate() {
                let [a, b] = [&pairs[4 * half..][..2], &pairs[4 * half + 2..][..2]];
                *quad = [
                    _mm256_shuffle_ps::<0x44>(a[0], b[0]),
                    _mm256_shuffle_ps::<0xEE>(a[0], b[0]),
                    _mm256_shuffle_ps::<0x44>(a[1], b[1]),
                    _mm256_shuffle_ps::<0xEE>(a[1], b[1]),
                ];
            }
            let [upper, lower] = quads;
            for i in 0..4 {
                let first = _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]);
                let second = _mm256_permute2f128_ps::<0x31>(upper[i], lower[i]);
                _mm256_storeu_ps(to.add(i * to_stride), first);
                _mm256_storeu_ps(to.add((i + 4) * to_stride), second);
            }
        }
    }
}
