//! The gradient of the weights: for each position of the window, a matrix product over pixels.
//!
//! ```text
//!                   B, a panel: 2 vectors of input channels
//!                  ┌───────────┐
//!           pixels │     x     │  packed [pixel][2 vectors]
//!                  └───────────┘
//!      ┌─────────┐ ┌───────────┐
//!  A   │ dy^T    │ │ C         │  a register tile: MR output channels x 2 vectors
//!      └─────────┘ └───────────┘
//!        packed [pixel][MR]
//! ```
//!
//! Both sides are packed in words of `X`'s products. A word of bfloat16 holds the same pixel of two
//! images, *n* and *n + 1*, so every list of pixels serves both.
//!
//! The loops are those of BLIS, in another order. There is no LOOP 5: an item has all input
//! channels. Convolutions with groups have another order (`groups.rs`).
//!
//! ```text
//! -       parts of the batch, whose sums are added in order at the end   ┐ one item of work
//! LOOP 3  output channels, MC                                            ┘
//! LOOP 4  pixels, KC: a block of them, packed
//! LOOP 2  input channels, NR = 2 vectors: a panel of x, in the L1 cache
//! LOOP 1  output channels, MR: a register tile
//! -       position of the window
//! -       pixels, one word: the micro-kernel
//! ```
//!
//! All cuts follow from the shape, so that the result does not depend on the number of threads.
//! Each position of the window has a list of pairs of pixels, of those that are inside of the
//! image.

mod groups;
mod item;
mod plan;

pub(super) use plan::DirectBackwardWeight;

use item::SliceItem;

use crate::{chunks::DisjointChunks, conv::reduce::sum_partials, cpu::Cpu, scalar::Scalar};

impl DirectBackwardWeight {
    /// `dw[out][window][in / groups]` of `batch` images.
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
        let (slices, chunks) = (self.slices(), self.chunks(batch));
        let cut = |chunk| batch.min(chunk * batch.div_ceil(X::PACK) / chunks * X::PACK);
        let worker = self.worker(cpu);
        let each = worker.sums + worker.x + worker.dy;
        let (workers, partial) = scratch.split_at_mut(cpu.threads() * each);
        let whole = chunks == 1;
        let out = if whole { &mut *dw } else { &mut partial[..chunks * slices * self.slice_len()] };
        let outs = DisjointChunks::new(out, self.slice_len());
        cpu.pool().run_scratch(chunks * slices, outs, (workers, each), |item, out, scratch| {
            let (chunk, slice) = (item / slices, item % slices);
            let (sums, rest) = scratch.split_at_mut(worker.sums);
            let (x_pack, dy_pack) = rest.split_at_mut(worker.x);
            let images = cut(chunk)..cut(chunk + 1);
            cpu.isa().dispatch(SliceItem {
                plan: self,
                x,
                dy,
                slice,
                images,
                sums,
                x_pack,
                dy_pack,
                out,
            });
        });
        if !whole {
            let stride = slices * self.slice_len();
            sum_partials(cpu, dw, partial, chunks, stride);
        }
    }
}
