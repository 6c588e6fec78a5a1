//! What runs on an instruction set.

use super::vector::Vector;

/// An algorithm that is generic over the vector.
///
/// Matrix products accumulate in a *register tile* of `MR` rows by `NR` columns, as in BLIS (Van Zee and
/// van de Geijn 2015). `NR` is two vectors. A step of the depth loads a row of the right operand, B, as
/// two vectors, and broadcasts each of `MR` values of the left operand, A:
///
/// ```text
///                        B[k]: 2 registers
///                      ┌─────────┬─────────┐
///                      │   b0    │   b1    │
///                      └─────────┴─────────┘
///    A[k][0] splat ──▶ ┌─────────┬─────────┐
///    A[k][1] splat ──▶ │  c00    │  c01    │
///         ...          │  c10    │  c11    │   C: MR x 2 accumulators
///                      │   ...   │   ...   │   c[p][v] += A[k][p] * b[v]
/// A[k][MR-1] splat ──▶ └─────────┴─────────┘
/// ```
///
/// | registers | lanes | MR | C | B | A | unfused product | of |
/// |---|---|---|---|---|---|---|---|
/// | AVX-512 | 16 | 8 | 16 | 2 | 1 | 1 without VNNI | 32 |
/// | AVX2 | 8 | 6 | 12 | 2 | 1 | 1 of integers | 16 |
/// | NEON | 4 | 8 | 16 | 2 | 1 | 3 of integers | 32 |
/// | portable | 4 | 4 | 8 | 2 | 1 | 1 | 16 |
///
/// `run` and everything it calls must be `#[inline(always)]`: only then is it compiled with the
/// instructions of the set that [`Isa::dispatch`](super::Isa) chose.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;

    /// Whether it multiplies pairs, or rounds to bfloat16. A kernel that does neither is compiled once
    /// for all sets that differ in nothing else.
    const PAIRS: bool;

    /// Computes, with vectors of `V` and register tiles of `MR` rows by two vectors.
    fn run<V: Vector, const MR: usize>(self) -> Self::Output;
}
