//! The gradient of the weights: for each window position, a matrix product over pixels.
//!
//! ```text
//!                pixels of x: panel of 2 vectors of input channels
//!               ┌───────────┐
//!        pixels │     x     │  packed [pixel][2 vectors]
//!               └───────────┘
//!   ┌─────────┐ ┌───────────┐
//!   │ dy^T    │ │ registers │  MR output channels x 2 vectors
//!   └─────────┘ └───────────┘
//!     packed [pixel][MR]
//! ```
//!
//! Both sides are packed in words of `X`'s products. A word of bfloat16 holds the same place of
//! two images, *n* and *n + 1*, so every list of pixels serves both.
//!
//! An item of work is a group of output channels over a part of the batch. Both cuts follow from
//! the shape, and the parts of the batch are summed in order, so the result does not depend on
//! the number of threads. Loops of an item, outermost first: block of pixels (whose packed inputs
//! stay in the cache); panel of input channels; tile of output channels; window position; pixel.
//! A window position meets only pixels inside the image: each has its own list of pairs.

mod item;
mod plan;

pub(super) use plan::BackwardWeight;

use item::Item;

use crate::{chunks::DisjointChunks, conv::reduce::sum_partials, cpu::Cpu, scalar::Scalar};

impl BackwardWeight {
    /// `dw[out][window][in]` of `batch` images.
    pub(super) fn run<X: Scalar, T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[X],
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        assert_eq!(self.pack, X::PACK);
        assert_eq!(dw.len(), s.weight_len());
        assert!(x.len() >= batch * s.in_len(self.source) && dy.len() >= batch * s.out_len());
        let (groups, chunks) = (self.groups(), self.chunks(batch));
        let cut = |chunk| batch.min(chunk * batch.div_ceil(X::PACK) / chunks * X::PACK);
        let worker = self.worker(cpu);
        let each = worker.sums + worker.x + worker.dy;
        let (workers, partial) = scratch.split_at_mut(cpu.threads() * each);
        let whole = chunks == 1;
        let out = if whole { &mut *dw } else { &mut partial[..chunks * groups * self.group_len()] };
        let outs = DisjointChunks::new(out, self.group_len());
        cpu.pool().run_scratch(chunks * groups, outs, (workers, each), |item, out, scratch| {
            let (chunk, group) = (item / groups, item % groups);
            let (sums, rest) = scratch.split_at_mut(worker.sums);
            let (x_pack, dy_pack) = rest.split_at_mut(worker.x);
            let images = cut(chunk)..cut(chunk + 1);
            cpu.isa().dispatch(Item {
                plan: self,
                x,
                dy,
                group,
                images,
                sums,
                x_pack,
                dy_pack,
                out,
            });
        });
        if !whole {
            let stride = groups * self.group_len();
            sum_partials(cpu, dw, partial, chunks, stride);
        }
    }
}
