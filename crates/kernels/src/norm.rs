//! The norm of all gradients, and their clipping by it.

use crate::{
    check::exactly,
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
};

/// Values of an item of work.
const PART: usize = 16 * 1024;
/// Partial sums: as many on every instruction set, so that the results of sets with fused
/// multiply-adds are bit-identical.
const SUMS: usize = 64;

/// Values of scratch for [`sum_of_squares`] of so many values.
pub fn scratch_len(values: usize) -> usize {
    values.div_ceil(PART)
}

/// The sum of squares. Its parts are cut by length and added in order.
///
/// # Panics
/// If the scratch is not of [`scratch_len`].
pub fn sum_of_squares(cpu: &Cpu, x: &[f32], scratch: &mut [f32]) -> f64 {
    exactly("scratch", scratch.len(), scratch_len(x.len()));
    cpu.pool().run_chunks(scratch.len(), DisjointChunks::new(scratch, 1), |i, sum| {
        let part = &x[i * PART..x.len().min((i + 1) * PART)];
        sum[0] = cpu.isa().dispatch(SumOfSquares(part));
    });
    scratch.iter().map(|&sum| f64::from(sum)).sum()
}

struct SumOfSquares<'a>(&'a [f32]);

impl Kernel for SumOfSquares<'_> {
    type Output = f32;
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) -> f32 {
        let mut sums = [0.0f32; SUMS];
        let chunks = self.0.chunks_exact(SUMS);
        let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
        for x in chunks {
            for at in (0..SUMS).step_by(V::LANES) {
                let x = V::read(&x[at..]);
                x.mul_add(x, V::read(&sums[at..])).write(&mut sums[at..]);
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

/// Multiplies all values by a factor.
pub fn scale(cpu: &Cpu, factor: f32, x: &mut [f32]) {
    let items = x.len().div_ceil(PART);
    cpu.pool().run_chunks(items, DisjointChunks::new(x, PART), |_, x| {
        cpu.isa().dispatch(ScaleItem { factor, x });
    });
}

struct ScaleItem<'a> {
    factor: f32,
    x: &'a mut [f32],
}

impl Kernel for ScaleItem<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let mut chunks = self.x.chunks_exact_mut(V::LANES);
        for x in &mut chunks {
            V::splat(self.factor).mul(V::read(x)).write(x);
        }
        chunks.into_remainder().iter_mut().for_each(|x| *x *= self.factor);
    }
}
