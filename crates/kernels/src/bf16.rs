//! The bfloat16 scalar.

/// bfloat16: the upper half of a 32-bit floating point number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// Rounds to nearest even; every NaN becomes the quiet one.
    #[inline(always)]
    pub fn from_f32(x: f32) -> Self {
        Bf16(f32_to_bf16(x))
    }

    /// The same number.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        bf16_to_f32(self.0)
    }
}

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
