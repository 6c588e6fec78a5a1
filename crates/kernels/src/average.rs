//! Moving averages of parameters.

use crate::{
    check::exactly,
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
};

/// Values of an item of work.
const PART: usize = 16 * 1024;

/// `average = decay * average + (1 - decay) * w`, as `torch.lerp` computes it: a decay of 1 changes
/// no bit, and one of 0 copies.
///
/// # Panics
/// If the two differ in length.
pub fn update(cpu: &Cpu, decay: f64, average: &mut [f32], w: &[f32]) {
    exactly("weights", w.len(), average.len());
    let items = average.len().div_ceil(PART);
    cpu.pool().run_chunks(items, DisjointChunks::new(average, PART), |i, average| {
        let w = &w[i * PART..][..average.len()];
        cpu.isa().dispatch(AverageItem { decay, average, w });
    });
}

struct AverageItem<'a> {
    decay: f64,
    average: &'a mut [f32],
    w: &'a [f32],
}

impl Kernel for AverageItem<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let AverageItem { decay, average, w } = self;
        let whole = w.len() / V::LANES * V::LANES;
        // From the nearer end, so that both ends are exact.
        let from_average = decay > 0.5;
        let factor = if from_average { 1.0 - decay } else { -decay } as f32;
        for (average, w) in average.chunks_exact_mut(V::LANES).zip(w.chunks_exact(V::LANES)) {
            let (old, new) = (V::read(average), V::read(w));
            let start = if from_average { old } else { new };
            V::splat(factor).mul_add(new.sub(old), start).write(average);
        }
        for (average, &new) in average[whole..].iter_mut().zip(&w[whole..]) {
            let start = if from_average { *average } else { new };
            // Fused like the vectors, so that AVX2 and AVX-512 agree.
            *average = factor.mul_add(new - *average, start);
        }
    }
}
