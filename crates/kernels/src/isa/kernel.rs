//! What runs on an instruction set.

use super::vector::Vector;

/// An algorithm that is generic over the vector.
///
/// `run` and everything it calls must be `#[inline(always)]`: only then is it compiled with the
/// instructions of the set that [`Isa::dispatch`](super::Isa) chose.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;

    /// Whether it multiplies pairs, or rounds to bfloat16. Sets that differ in nothing else share the
    /// compiled code of a kernel that does neither.
    const PAIRS: bool;

    /// Computes, with vectors of `V` and register tiles of `MR` pixels by two vectors.
    fn run<V: Vector, const MR: usize>(self) -> Self::Output;
}
