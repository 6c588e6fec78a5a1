//! Storage elements of activations: 32-bit floating point and bfloat16.

use crate::isa::Vector;

mod sealed {
    /// Kernels rely on what only these elements are known to have: at most 8 bytes, and zero bits
    /// for the value zero.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for super::Bf16 {}
}

/// How a value is stored; arithmetic is always in 32-bit floating point.
pub trait Element: sealed::Sealed + Copy + Default + Send + Sync + 'static {
    /// Values of a lane in products: of bfloat16 activations a lane holds two.
    const PACK: usize;

    /// `sum + a * b`, for lanes of [`Self::PACK`] values.
    fn multiply<V: Vector>(a: V, b: V, sum: V) -> V;

    /// Lanes of products: of both vectors where a lane holds two values, else of `low` alone.
    fn pack<V: Vector>(low: V, high: V) -> V;

    /// From arithmetic to storage.
    fn from_f32(x: f32) -> Self;

    /// From storage to arithmetic.
    fn to_f32(self) -> f32;

    /// Reads a vector.
    ///
    /// # Safety
    /// `p` must be valid for reading `V::LANES` elements.
    unsafe fn load<V: Vector>(p: *const Self) -> V;

    /// Reads the values of `V::LANES` words of [`Self::PACK`]: a vector, or those at even and those
    /// at odd places.
    ///
    /// # Safety
    /// `p` must be valid for reading them.
    unsafe fn load_words<V: Vector>(p: *const Self) -> [V; 2];

    /// Writes a vector.
    ///
    /// # Safety
    /// `p` must be valid for writing `V::LANES` elements.
    unsafe fn store<V: Vector>(v: V, p: *mut Self);
}

impl Element for f32 {
    const PACK: usize = 1;

    #[inline(always)]
    fn multiply<V: Vector>(a: V, b: V, sum: V) -> V {
        a.mul_add(b, sum)
    }

    #[inline(always)]
    fn pack<V: Vector>(low: V, _: V) -> V {
        low
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<V: Vector>(p: *const Self) -> V {
        // SAFETY: the same contract.
        unsafe { V::load(p) }
    }

    #[inline(always)]
    unsafe fn load_words<V: Vector>(p: *const Self) -> [V; 2] {
        // SAFETY: the same contract.
        [unsafe { V::load(p) }, V::zero()]
    }

    #[inline(always)]
    unsafe fn store<V: Vector>(v: V, p: *mut Self) {
        // SAFETY: the same contract.
        unsafe { v.store(p) }
    }
}

/// bfloat16: the upper half of a 32-bit floating point number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

#[inline(always)]
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to nearest even; every NaN becomes the quiet one.
#[inline(always)]
pub(crate) fn f32_to_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return 0x7FC0;
    }
    let bits = x.to_bits();
    ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) as u16
}

impl Element for Bf16 {
    const PACK: usize = 2;

    #[inline(always)]
    fn multiply<V: Vector>(a: V, b: V, sum: V) -> V {
        sum.dot2(a, b)
    }

    #[inline(always)]
    fn pack<V: Vector>(low: V, high: V) -> V {
        V::pair_bf16(low, high)
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Bf16(f32_to_bf16(x))
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        bf16_to_f32(self.0)
    }

    #[inline(always)]
    unsafe fn load<V: Vector>(p: *const Self) -> V {
        // SAFETY: the same contract; `Bf16` is a transparent u16.
        unsafe { V::load_bf16(p.cast()) }
    }

    #[inline(always)]
    unsafe fn load_words<V: Vector>(p: *const Self) -> [V; 2] {
        // SAFETY: the same contract: as many bytes, of any alignment.
        let words = unsafe { V::load(p.cast()) };
        [words.low_bf16(), words.high_bf16()]
    }

    #[inline(always)]
    unsafe fn store<V: Vector>(v: V, p: *mut Self) {
        // SAFETY: the same contract; `Bf16` is a transparent u16.
        unsafe { v.store_bf16(p.cast()) }
    }
}
