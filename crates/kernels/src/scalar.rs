//! The scalar types that activations are stored as: 32-bit floating point and bfloat16.

use crate::{
    bf16::Bf16,
    isa::Vector,
    values::{Dtype, Values, ValuesMut},
};

/// Evaluates an expression in which `$T` is the [`Scalar`] of a dtype: the only way from what
/// callers pass to the algorithms, which are generic over it.
macro_rules! by_scalar {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::values::Dtype::Fp32 => {
                type $T = f32;
                $body
            }
            $crate::values::Dtype::Bf16 => {
                type $T = $crate::bf16::Bf16;
                $body
            }
        }
    };
}
pub(crate) use by_scalar;

/// One tensor of a call has another dtype than the rest.
#[cold]
fn mismatch(expected: Dtype, got: Dtype) -> ! {
    panic!("expected {expected} values, got {got}")
}

/// A scalar type that activations and their gradients are stored as. Arithmetic on single values is
/// in 32-bit floating point.
///
/// Kernels rely on two properties of its implementations: a value has at most 8 bytes, and zero
/// bits are the value zero.
pub trait Scalar: Copy + Default + Send + Sync + 'static {
    /// The same storage, multiplied in 32-bit floating point: a lane holds one value.
    type Wide: Scalar;

    /// The same values, as the wide type.
    fn widen(values: &[Self]) -> &[Self::Wide];

    /// The same values, as the wide type, to be written.
    fn widen_mut(values: &mut [Self]) -> &mut [Self::Wide];

    /// The slice of values of this dtype.
    ///
    /// # Panics
    /// If they have another.
    fn slice(values: Values<'_>) -> &[Self];

    /// The slice of values of this dtype, to be written.
    ///
    /// # Panics
    /// If they have another.
    fn slice_mut(values: ValuesMut<'_>) -> &mut [Self];

    /// Values in a 32-bit lane of a product: 2 of bfloat16 (a pair), 1 otherwise.
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
    /// `p` must be valid for reading `V::LANES` values.
    unsafe fn load<V: Vector>(p: *const Self) -> V;

    /// The first `V::LANES` values of a slice.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn read<V: Vector>(values: &[Self]) -> V {
        let values = &values[..V::LANES];
        // SAFETY: the slice holds that many values.
        unsafe { Self::load(values.as_ptr()) }
    }

    /// Writes a vector to the start of a slice.
    ///
    /// # Panics
    /// If it has room for fewer values.
    #[inline(always)]
    fn write<V: Vector>(v: V, to: &mut [Self]) {
        let to = &mut to[..V::LANES];
        // SAFETY: the slice has room for that many values.
        unsafe { Self::store(v, to.as_mut_ptr()) }
    }

    /// Reads the values of `V::LANES` words of [`Self::PACK`]: a vector, or those at even and those
    /// at odd places.
    ///
    /// # Safety
    /// `p` must be valid for reading them.
    unsafe fn load_words<V: Vector>(p: *const Self) -> [V; 2];

    /// Writes a vector.
    ///
    /// # Safety
    /// `p` must be valid for writing `V::LANES` values.
    unsafe fn store<V: Vector>(v: V, p: *mut Self);
}

impl Scalar for f32 {
    type Wide = f32;

    fn widen(values: &[f32]) -> &[f32] {
        values
    }

    fn widen_mut(values: &mut [f32]) -> &mut [f32] {
        values
    }

    fn slice(values: Values<'_>) -> &[Self] {
        match values {
            Values::Fp32(values) => values,
            Values::Bf16(_) => mismatch(Dtype::Fp32, Dtype::Bf16),
        }
    }

    fn slice_mut(values: ValuesMut<'_>) -> &mut [Self] {
        match values {
            ValuesMut::Fp32(values) => values,
            ValuesMut::Bf16(_) => mismatch(Dtype::Fp32, Dtype::Bf16),
        }
    }

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

impl Scalar for Bf16 {
    type Wide = WideBf16;

    fn widen(values: &[Bf16]) -> &[WideBf16] {
        // SAFETY: `WideBf16` is a transparent `Bf16`.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
    }

    fn widen_mut(values: &mut [Bf16]) -> &mut [WideBf16] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
    }

    fn slice(values: Values<'_>) -> &[Self] {
        match values {
            Values::Bf16(values) => values,
            Values::Fp32(_) => mismatch(Dtype::Bf16, Dtype::Fp32),
        }
    }

    fn slice_mut(values: ValuesMut<'_>) -> &mut [Self] {
        match values {
            ValuesMut::Bf16(values) => values,
            ValuesMut::Fp32(_) => mismatch(Dtype::Bf16, Dtype::Fp32),
        }
    }

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
        Bf16::from_f32(x)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        Bf16::to_f32(self)
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

/// bfloat16 as it is stored, multiplied in 32-bit floating point.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
pub struct WideBf16(Bf16);

impl Scalar for WideBf16 {
    type Wide = WideBf16;

    fn widen(values: &[WideBf16]) -> &[WideBf16] {
        values
    }

    fn widen_mut(values: &mut [WideBf16]) -> &mut [WideBf16] {
        values
    }

    fn slice(values: Values<'_>) -> &[WideBf16] {
        Bf16::widen(Bf16::slice(values))
    }

    fn slice_mut(values: ValuesMut<'_>) -> &mut [WideBf16] {
        Bf16::widen_mut(Bf16::slice_mut(values))
    }

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
        WideBf16(Bf16::from_f32(x))
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.0.to_f32()
    }

    #[inline(always)]
    unsafe fn load<V: Vector>(p: *const Self) -> V {
        // SAFETY: the same contract; `WideBf16` is a transparent `Bf16`.
        unsafe { Bf16::load(p.cast()) }
    }

    #[inline(always)]
    unsafe fn load_words<V: Vector>(p: *const Self) -> [V; 2] {
        // SAFETY: the same contract.
        [unsafe { Self::load(p) }, V::zero()]
    }

    #[inline(always)]
    unsafe fn store<V: Vector>(v: V, p: *mut Self) {
        // SAFETY: as for loading.
        unsafe { Bf16::store(v, p.cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "expected bf16 values, got fp32")]
    fn another_dtype_is_refused() {
        Bf16::slice(Values::Fp32(&[1.0]));
    }
}
