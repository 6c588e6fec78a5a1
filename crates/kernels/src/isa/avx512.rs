//! AVX-512: 32 registers of 16 lanes.

use std::arch::x86_64::*;

use super::{kernel::Kernel, vector::Vector};

/// Rows of a register tile, `mr` in BLIS. 8 x 2 vectors are 16 accumulators, enough to hide the
/// latency of two fused multiply-adds per cycle.
const MR: usize = 8;

/// Runs a kernel with AVX-512.
///
/// # Safety
/// The machine must have the features named here.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<F32x16<false>, MR>()
}

/// Runs a kernel with AVX-512 and its dot products of pairs, of bfloat16 and of 16-bit integers.
///
/// # Safety
/// The machine must have the features named here.
#[target_feature(enable = "avx512bf16,avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) unsafe fn enter_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<F32x16<true>, MR>()
}

/// 0, 16, 1, 17, ...
static INTERLEAVE: [u16; 32] = {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 32 {
        order[i] = (i / 2 + i % 2 * 16) as u16;
        i += 1;
    }
    order
};

/// `BF16`: the machine has dot products of bfloat16 pairs (`vdpbf16ps`, which flush subnormal
/// numbers to zero) and of pairs of 16-bit integers (`vpdpwssd`), and rounds to bfloat16.
#[derive(Clone, Copy)]
pub(crate) struct F32x16<const BF16: bool>(__m512);

impl<const BF16: bool> F32x16<BF16> {
    /// Bits rounded to nearest even bfloat16, in the lower halves of the lanes.
    #[inline(always)]
    fn rounded(self) -> __m512i {
        // SAFETY: as below.
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let round = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
            let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, round));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7FC0))
        }
    }

    /// The bfloat16 values of both, one after the other; of a machine that rounds them itself.
    #[inline(always)]
    fn rounded_two(low: Self, high: Self) -> __m512i {
        // SAFETY: as below.
        unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high.0, low.0)) }
    }

    /// The values of `a` and then `b` at these places, and at those `next` after them.
    #[inline(always)]
    fn select(a: Self, b: Self, at: __m512i, next: i32) -> [Self; 2] {
        // SAFETY: as below.
        unsafe {
            let then = _mm512_add_epi32(at, _mm512_set1_epi32(next));
            [
                F32x16(_mm512_permutex2var_ps(a.0, at, b.0)),
                F32x16(_mm512_permutex2var_ps(a.0, then, b.0)),
            ]
        }
    }
}

// SAFETY (all blocks below): values of this type are made only under `enter` or, with BF16,
// `enter_bf16`, so the machine has the instructions; pointers are as valid as the trait's contract
// demands.
impl<const BF16: bool> Vector for F32x16<BF16> {
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_loadu_ps(p) })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    unsafe fn stream(self, p: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_stream_ps(p, self.0) }
    }

    #[inline(always)]
    fn fence() {
        // SAFETY: every machine with AVX-512 has it.
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: see above.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            F32x16(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)))
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut u16) {
        // SAFETY: see above.
        unsafe {
            let half = if BF16 {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0))
            } else {
                _mm512_cvtepi32_epi16(self.rounded())
            };
            _mm256_storeu_si256(p.cast(), half);
        }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_sqrt_ps(self.0) })
    }

    #[inline(always)]
    fn shift_to_exponent(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let bits = _mm512_slli_epi32::<23>(_mm512_castps_si512(self.0));
            F32x16(_mm512_castsi512_ps(bits))
        }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            // The instruction yields its second operand where one is NaN.
            let max = _mm512_max_ps(self.0, other.0);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            F32x16(_mm512_mask_mov_ps(max, nan, self.0))
        }
    }

    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: see above. Its second operand, where one is NaN.
        F32x16(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }

    #[inline(always)]
    fn where_positive(self, mask: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let keep = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(mask.0, _mm512_setzero_ps());
            F32x16(_mm512_maskz_mov_ps(keep, self.0))
        }
    }

    #[inline(always)]
    fn where_equal(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let keep = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a.0, b.0);
            F32x16(_mm512_maskz_mov_ps(keep, self.0))
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
        unsafe { F32x16(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0)))) }
    }

    #[inline(always)]
    fn high_bf16(self) -> Self {
        // SAFETY: see above.
        unsafe {
            let upper = _mm512_set1_epi32(0xFFFF_0000_u32 as i32);
            F32x16(_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(self.0), upper)))
        }
    }

    #[inline(always)]
    fn pair_bf16(low: Self, high: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let words = if BF16 {
                let both = Self::rounded_two(low, high);
                // Value i of `low`, then of `high`.
                _mm512_permutexvar_epi16(_mm512_loadu_si512(INTERLEAVE.as_ptr().cast()), both)
            } else {
                _mm512_or_si512(low.rounded(), _mm512_slli_epi32::<16>(high.rounded()))
            };
            F32x16(_mm512_castsi512_ps(words))
        }
    }

    #[inline(always)]
    fn dot2(self, a: Self, b: Self) -> Self {
        if BF16 {
            // SAFETY: see above.
            unsafe {
                let pairs = |x| std::mem::transmute::<__m512, __m512bh>(x);
                F32x16(_mm512_dpbf16_ps(self.0, pairs(a.0), pairs(b.0)))
            }
        } else {
            let high = a.high_bf16().mul_add(b.high_bf16(), self);
            a.low_bf16().mul_add(b.low_bf16(), high)
        }
    }

    #[inline(always)]
    fn pair_i16(low: Self, high: Self, scales: [Self; 2]) -> Self {
        let round = Self::splat(Self::ROUND);
        let (low, high) = (low.mul_add(scales[0], round), high.mul_add(scales[1], round));
        // SAFETY: see above.
        unsafe {
            let high = _mm512_slli_epi32::<16>(_mm512_castps_si512(high.0));
            let low = _mm512_castps_si512(low.0);
            F32x16(_mm512_castsi512_ps(_mm512_mask_blend_epi16(0xAAAA_AAAA, low, high)))
        }
    }

    #[inline(always)]
    fn dot2_i16(self, a: Self, b: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let (a, b) = (_mm512_castps_si512(a.0), _mm512_castps_si512(b.0));
            let sum = _mm512_castps_si512(self.0);
            F32x16(_mm512_castsi512_ps(if BF16 {
                _mm512_dpwssd_epi32(sum, a, b)
            } else {
                _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
            }))
        }
    }

    #[inline(always)]
    fn i32_to_f32(self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(self.0)) })
    }

    #[inline(always)]
    fn deinterleave(a: Self, b: Self) -> [Self; 2] {
        // SAFETY: see above.
        unsafe {
            let at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            Self::select(a, b, at, 1)
        }
    }

    #[inline(always)]
    fn permute(self, from: Self) -> Self {
        // SAFETY: see above.
        F32x16(unsafe { _mm512_permutexvar_ps(_mm512_castps_si512(from.0), self.0) })
    }

    #[inline(always)]
    fn interleave(even: Self, odd: Self) -> [Self; 2] {
        // SAFETY: see above.
        unsafe {
            let at = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            Self::select(even, odd, at, 8)
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
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(from.add(i * from_stride));
                if let Some(scale) = scale {
                    *row = _mm512_mul_ps(*row, scale.0);
                }
            }
            // Rows 4q to 4q + 3: column 4b + c of 128-bit block b becomes block b of `quads[q][c]`.
            let mut quads = [[_mm512_setzero_ps(); 4]; 4];
            for (q, quad) in quads.iter_mut().enumerate() {
                let r = &rows[4 * q..4 * q + 4];
                let (a, b) = (_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpacklo_ps(r[2], r[3]));
                let (c, d) = (_mm512_unpackhi_ps(r[0], r[1]), _mm512_unpackhi_ps(r[2], r[3]));
                *quad = [
                    _mm512_shuffle_ps::<0x44>(a, b),
                    _mm512_shuffle_ps::<0xEE>(a, b),
                    _mm512_shuffle_ps::<0x44>(c, d),
                    _mm512_shuffle_ps::<0xEE>(c, d),
                ];
            }
            for c in 0..4 {
                let [a, b, d, e] = [quads[0][c], quads[1][c], quads[2][c], quads[3][c]];
                // Blocks 0 and 2, and 1 and 3, of two quads each; then of all four.
                let (even, odd) =
                    (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b));
                let (even2, odd2) =
                    (_mm512_shuffle_f32x4::<0x88>(d, e), _mm512_shuffle_f32x4::<0xDD>(d, e));
                let columns = [
                    _mm512_shuffle_f32x4::<0x88>(even, even2),
                    _mm512_shuffle_f32x4::<0x88>(odd, odd2),
                    _mm512_shuffle_f32x4::<0xDD>(even, even2),
                    _mm512_shuffle_f32x4::<0xDD>(odd, odd2),
                ];
                for (block, column) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * block + c) * to_stride), column);
                }
            }
        }
    }
}
