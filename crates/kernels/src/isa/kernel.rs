//! Kernels: what runs on an instruction set, and their register tile.

use super::vector::Vector;

/// An algorithm that is generic over the vector.
///
/// Matrix products accumulate in a *register tile* of `MR` rows by `NR` columns, as in BLIS (Van
/// Zee and van de Geijn 2015). `NR` is two vectors. A step of the depth loads a row of the right
/// operand, B, as two vectors, and broadcasts each of `MR` values of the left operand, A:
///
/// ```text
///                          B[k]
///                          ┌─────┬─────┐
///                          │ b0  │ b1  │   2 registers
///                          └─────┴─────┘
///                          ┌─────┬─────┐
/// A[k][0]      splat ────▶ │ c00 │ c01 │
/// A[k][1]      splat ────▶ │ c10 │ c11 │   MR x 2 accumulators:
///     ...                  │ ... │ ... │   c[p][v] += A[k][p] * b[v]
/// A[k][MR - 1] splat ────▶ │     │     │
///                          └─────┴─────┘
/// 1 register at a time
/// ```
///
/// | set | lanes | MR x NR | C | B | A | registers |
/// |---|---|---|---|---|---|---|
/// | AVX-512 | 16 | 8 x 32 | 16 | 2 | 1 | 19 of 32 |
/// | AVX2 | 8 | 6 x 16 | 12 | 2 | 1 | 15 of 16 |
/// | NEON | 4 | 8 x 8 | 16 | 2 | 1 | 19 of 32 |
/// | portable | 4 | 4 x 8 | 8 | 2 | 1 | 11 of 16 |
///
/// The rest are for temporaries, which products need where the set has no instruction that
/// multiplies and adds at once.
///
/// `run` and everything it calls must be `#[inline(always)]`: only then is it compiled with the
/// instructions of the set that [`Isa::dispatch`](super::Isa) chose.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;

    /// Whether it multiplies pairs, or rounds to bfloat16. A kernel that does neither is compiled
    /// once for all sets that differ in nothing else.
    const PAIRS: bool;

    /// Computes, with vectors of `V` and register tiles of `MR` rows by two vectors.
    fn run<V: Vector, const MR: usize>(self) -> Self::Output;
}
