//! What an instruction set offers to the kernels.

/// A register of 32-bit floating point lanes.
///
/// The kernels are written once over this trait; an implementation holds instructions only.
/// Values exist only inside [`Isa::dispatch`](super::Isa::dispatch), which has checked that the
/// machine has the instructions: that is why the arithmetic is safe to call.
pub trait Vector: Copy {
    /// Values in a register.
    const LANES: usize;

    /// Added to a number of less than 2^22, rounds it to an integer: the lower half of the sum's
    /// bits is that integer's.
    const ROUND: f32 = 12_582_912.0;

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

    /// The first `LANES` of some values.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn read(values: &[f32]) -> Self {
        let values = &values[..Self::LANES];
        // SAFETY: the slice holds a vector's values.
        unsafe { Self::load(values.as_ptr()) }
    }

    /// Writes `LANES` values to the start of a slice.
    ///
    /// # Panics
    /// If it has room for fewer.
    #[inline(always)]
    fn write(self, to: &mut [f32]) {
        let to = &mut to[..Self::LANES];
        // SAFETY: the slice has room for a vector's values.
        unsafe { self.store(to.as_mut_ptr()) }
    }

    /// Writes `LANES` values past the caches (a non-temporal store), where the machine can: for
    /// values that are not read again soon. Other threads see them after [`Vector::fence`].
    ///
    /// # Safety
    /// As [`Vector::store`]; `p` must be a multiple of the vector's size.
    #[inline(always)]
    unsafe fn stream(self, p: *mut f32) {
        // SAFETY: the caller's contract.
        unsafe { self.store(p) }
    }

    /// Makes what [`Vector::stream`] wrote visible to other threads.
    #[inline(always)]
    fn fence() {}

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

    /// Lane by lane quotient.
    fn div(self, other: Self) -> Self;

    /// The square root of each lane, correctly rounded.
    fn sqrt(self) -> Self;

    /// Each lane's bits, 23 to the left: the lower bits become the exponent. Of `n + 127 +` [`Vector::ROUND`]
    /// with an integer `n`, that is `2^n`; 0 of `n = -127`, and infinity of 128.
    fn shift_to_exponent(self) -> Self;

    /// The larger of each lane; NaN where one is, as in PyTorch: a diverged net must show.
    fn max(self, other: Self) -> Self;

    /// Lanes where `mask` is above zero; zero elsewhere.
    fn where_positive(self, mask: Self) -> Self;

    /// Lanes where `a` equals `b`; zero elsewhere.
    fn where_equal(self, a: Self, b: Self) -> Self;

    /// Each lane's lower bfloat16 half, widened: lanes hold pairs.
    fn low_bf16(self) -> Self;

    /// Each lane's upper bfloat16 half, widened.
    fn high_bf16(self) -> Self;

    /// Rounds both to nearest even bfloat16, into pairs: `low` into the lower halves.
    fn pair_bf16(low: Self, high: Self) -> Self;

    /// `self + a.low * b.low + a.high * b.high` for lanes of `a` and `b` that hold pairs of
    /// bfloat16 (`vdpbf16ps`).
    #[inline(always)]
    fn dot2(self, a: Self, b: Self) -> Self {
        let high = a.high_bf16().mul_add(b.high_bf16(), self);
        a.low_bf16().mul_add(b.low_bf16(), high)
    }

    /// Quantises `low` and `high` to pairs of 16-bit integers: each times its scale, rounded to
    /// nearest, `low` into the lower halves. A value that does not fit gives a wrong integer.
    fn pair_i16(low: Self, high: Self, scales: [Self; 2]) -> Self;

    /// `self + a.low * b.low + a.high * b.high` for lanes of `a` and `b` that hold pairs of 16-bit
    /// integers, and lanes of `self` that hold a 32-bit integer (`vpdpwssd`). A sum that does not
    /// fit wraps.
    fn dot2_i16(self, a: Self, b: Self) -> Self;

    /// Lanes that hold 32-bit integers, as floating point numbers.
    fn i32_to_f32(self) -> Self;

    /// The values of `a`, then `b`, at even and at odd positions.
    fn deinterleave(a: Self, b: Self) -> [Self; 2];

    /// The reverse of [`Vector::deinterleave`].
    fn interleave(even: Self, odd: Self) -> [Self; 2];

    /// Lane *i* is the lane of `self` whose number is in the bits of lane *i* of `from`, each less
    /// than `LANES`.
    fn permute(self, from: Self) -> Self;

    /// Writes the transpose of a block of `LANES` rows of `LANES` values, each row multiplied by
    /// `scale` lane by lane.
    ///
    /// # Safety
    /// `from` must be valid for reading and `to` for writing `LANES` values from each of the
    /// `LANES` multiples of their stride.
    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        scale: Option<Self>,
    ) {
        for row in 0..Self::LANES {
            let mut values = [0.0; 16];
            assert!(Self::LANES <= values.len());
            // SAFETY: the caller's contract, and there is room.
            unsafe {
                let line = Self::load(from.add(row * from_stride));
                scale.map_or(line, |scale| line.mul(scale)).store(values.as_mut_ptr());
                for column in 0..Self::LANES {
                    *to.add(column * to_stride + row) = values[column];
                }
            }
        }
    }

    /// Prefetches the cache line at an address, valid or not. Does nothing where the machine has no
    /// such instruction.
    #[inline(always)]
    fn prefetch<T>(_: *const T) {}

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
