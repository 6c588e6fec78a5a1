//! Sums over parts of a batch.

use crate::{
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
};

/// `dw = partial[0] + partial[1] + ...`, in this order.
pub(super) fn sum_partials(
    cpu: &Cpu,
    dw: &mut [f32],
    partial: &[f32],
    chunks: usize,
    stride: usize,
) {
    struct Sum<'a> {
        out: &'a mut [f32],
        partial: &'a [f32],
        chunks: usize,
        stride: usize,
    }
    impl Kernel for Sum<'_> {
        type Output = ();
        const PAIRS: bool = false;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let n = self.out.len();
            self.out.copy_from_slice(&self.partial[..n]);
            for chunk in 1..self.chunks {
                let from = &self.partial[chunk * self.stride..][..n];
                self.out.iter_mut().zip(from).for_each(|(out, from)| *out += from);
            }
        }
    }
    const PART: usize = 4096;
    let items = dw.len().div_ceil(PART);
    let parts = DisjointChunks::new(dw, PART);
    cpu.pool().run_chunks(items, parts, |item, out| {
        cpu.isa().dispatch(Sum { out, partial: &partial[item * PART..], chunks, stride });
    });
}
