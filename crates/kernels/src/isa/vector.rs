//! What an instruction set offers to the kernels.

/// A register of 32-bit floating point lanes.
///
/// The kernels are written once over this trait; an implementation holds instructions only.
/// Values exist only inside [`Isa::dispatch`](super::Isa::dispatch), which has checked that the
/// machine has the instructions: that is why the arithmetic is safe to call.
pub trait Vector: Copy {
    /// Values in a register.
    const LANES: usize;

    /// All lanes equal.
    fn splat(x: f32) -> Self;

    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` values.
    unsafe fn load(p: *const f32) -> Self;

    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` values.
    unsafe fn store(self, p: *mut f32);

    /// Reads `LANES` bfloat16 values.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` values.
    unsafe fn load_bf16(p: *const u16) -> Self;

    /// Rounds to nearest even and writes `LANES` bfloat16 values.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` values.
    unsafe fn store_bf16(self, p: *mut u16);

    /// `self * b + c`, fused where the machine can.
    fn mul_add(self, b: Self, c: Self) -> Self;

    /// Lane by lane sum.
    fn add(self, other: Self) -> Self;

    /// Lane by lane difference.
    fn sub(self, other: Self) -> Self;

    /// Lane by lane product.
    fn mul(self, other: Self) -> Self;

    /// The larger of each lane; NaN where one is, as in PyTorch: a diverged net must show.
    fn max(self, other: Self) -> Self;

    /// Lanes where `gate` is above zero; zero elsewhere.
    fn where_positive(self, gate: Self) -> Self;

    /// Lanes where `a` equals `b`; zero elsewhere.
    fn where_equal(self, a: Self, b: Self) -> Self;

    /// Zero in all lanes.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0.0)
    }

    /// `max(self, 0)`; NaN stays.
    #[inline(always)]
    fn relu(self) -> Self {
        Self::zero().max(self)
    }
}
