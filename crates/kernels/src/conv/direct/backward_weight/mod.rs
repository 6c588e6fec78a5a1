//! The gradient of the weights: for each window position, a matrix product over pixels.
//!
//! ```text
//!                pixels of x: panel of 2 vectors of input channels
//!               ┌───────────┐
//!        pixels │     x     │  packed [pixel][2 vectors]
//!               └───────────┘
//!   ┌─────────┐ ┌───────────┐
//!   │ dy^T    │ │ registers │  TILE output channels x 2 vectors
//!   └─────────┘ └───────────┘
//!     packed [pixel][TILE]
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

use std::marker::PhantomData;

use item::Item;

use super::taps::{input_pixel, offset};
use crate::{
    conv::{ConvShape, Source},
    cpu::Cpu,
    element::Element,
    isa::{Kernel, Vector},
    layout::padded,
    pool::Parts,
};

/// Output channels of an item.
const GROUP: usize = 64;
/// Items aimed at by cutting the batch.
const ITEMS: usize = 8;
/// Output pixels of a block aimed at, in words: 128 of two AVX-512 vectors are 16 KiB of x.
const BLOCK: usize = 128;

/// Pairs of (pixel of x, pixel of dy) within a block.
type Pairs = Vec<(u32, u32)>;

/// Some rows of an image, or several whole images.
#[derive(Debug)]
struct Block {
    /// First input row of those used.
    first_row: usize,
    /// Input rows of an image, of those used.
    rows: usize,
    /// First output row.
    first_out: usize,
    /// Output pixels of an image.
    pixels: usize,
    /// For each window position.
    pairs: Vec<Pairs>,
}

/// The cuts and lists of a shape.
#[derive(Debug)]
pub(in crate::conv) struct BackwardWeight<X, E> {
    shape: ConvShape,
    source: Source,
    /// Window positions.
    taps: usize,
    /// Values of a window position in the weight.
    values: usize,
    /// Of the input, every so many-th row and column is used: all but for a 1x1 window's stride.
    skip: usize,
    /// Images of a block (1 where an image has several blocks), counted as words.
    images: usize,
    blocks: Vec<Block>,
    elements: PhantomData<(X, E)>,
}

/// Lengths of a worker's scratch.
struct Scratch {
    sums: usize,
    x: usize,
    dy: usize,
}

impl<X: Element, E: Element> BackwardWeight<X, E> {
    pub(in crate::conv) fn new(shape: ConvShape, source: Source) -> Self {
        let (taps, values) = match source {
            Source::Activation => (shape.kernel * shape.kernel, shape.in_channels),
            Source::Image => (shape.kernel, shape.kernel * shape.in_channels),
        };
        let alone = source == Source::Activation && shape.kernel == 1 && shape.padding == 0;
        let skip = if alone { shape.stride } else { 1 };
        let (height, width) = (shape.out_height(), shape.out_width());
        let images = (BLOCK / shape.out_pixels()).max(1);
        let rows = if images > 1 { height } else { (BLOCK / width).clamp(1, height) };
        let blocks = (0..height)
            .step_by(rows)
            .map(|y| Block::new(&shape, source, skip, images, y..(y + rows).min(height)))
            .collect();
        BackwardWeight { shape, source, taps, values, skip, images, blocks, elements: PhantomData }
    }

    /// Parts of the batch for so many images.
    fn chunks(&self, batch: usize) -> usize {
        ITEMS.div_ceil(self.groups()).min(batch.div_ceil(X::PACK)).max(1)
    }

    fn groups(&self) -> usize {
        self.shape.out_channels.div_ceil(GROUP)
    }

    /// Values of the weight that a group covers.
    fn group_len(&self) -> usize {
        GROUP * self.taps * self.values
    }

    /// Used columns of an activation.
    fn columns(&self) -> usize {
        self.shape.width.div_ceil(self.skip)
    }

    fn worker(&self, cpu: &Cpu) -> Scratch {
        let (tile, lanes) = (cpu.isa().tile(), cpu.isa().lanes());
        let channels = GROUP.min(padded(self.shape.out_channels)).div_ceil(tile) * tile;
        let largest = |f: &dyn Fn(&Block) -> usize| self.blocks.iter().map(f).max().unwrap_or(0);
        let x = match self.source {
            Source::Activation => largest(&|b| b.rows) * self.columns() * 2 * lanes,
            Source::Image => {
                let image = self.shape.image();
                // The last panel of the last pixel reads past its run.
                largest(&|b| b.rows) * image.columns() * image.channels + padded(self.values)
            }
        };
        Scratch {
            sums: channels * self.taps * padded(self.values),
            x: (x * self.images).next_multiple_of(16),
            dy: channels * largest(&|b| b.pixels) * self.images,
        }
    }

    /// Values of scratch for batches of up to `batch` images.
    pub(in crate::conv) fn scratch_len(&self, cpu: &Cpu, batch: usize) -> usize {
        let worker = self.worker(cpu);
        let chunks = self.chunks(batch);
        let partial = if chunks > 1 { chunks * self.groups() * self.group_len() } else { 0 };
        cpu.threads() * (worker.sums + worker.x + worker.dy) + partial
    }

    /// `dw[out][window][in]` of `batch` images.
    pub(in crate::conv) fn run(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[X],
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        assert_eq!(dw.len(), s.weight_len());
        assert!(x.len() >= batch * s.in_len(self.source) && dy.len() >= batch * s.out_len());
        let (groups, chunks) = (self.groups(), self.chunks(batch));
        let cut = |chunk| batch.min(chunk * batch.div_ceil(X::PACK) / chunks * X::PACK);
        let worker = self.worker(cpu);
        let each = worker.sums + worker.x + worker.dy;
        let (workers, partial) = scratch.split_at_mut(cpu.threads() * each);
        let workers = Parts::new(workers, each);
        let whole = chunks == 1;
        let out = if whole { &mut *dw } else { &mut partial[..chunks * groups * self.group_len()] };
        let outs = Parts::new(out, self.group_len());
        cpu.pool().run(chunks * groups, &|thread, item| {
            let (chunk, group) = (item / groups, item % groups);
            // SAFETY: each thread takes its own scratch, each item its own output.
            let (scratch, out) = unsafe { (workers.get(thread), outs.get(item)) };
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
            sum_chunks(cpu, dw, partial, chunks, stride);
        }
    }
}

impl Block {
    fn new(
        s: &ConvShape,
        source: Source,
        skip: usize,
        images: usize,
        out_rows: std::ops::Range<usize>,
    ) -> Self {
        let (limit, border, taps) = match source {
            Source::Activation => (s.height.div_ceil(skip), s.padding, s.kernel * s.kernel),
            Source::Image => (s.image().rows(), 0, s.kernel),
        };
        let stride = s.stride / skip;
        let first_row = (out_rows.start * stride).saturating_sub(border).min(limit);
        let past = (out_rows.end - 1) * stride + s.kernel;
        let rows = past.saturating_sub(border).clamp(first_row, limit) - first_row;
        let columns = s.width.div_ceil(skip);
        let pixels = out_rows.len() * s.out_width();
        let mut pairs = vec![Pairs::new(); taps];
        for (tap, pairs) in pairs.iter_mut().enumerate() {
            for image in 0..images {
                for y in out_rows.clone() {
                    for x in 0..s.out_width() {
                        let to = image * pixels + (y - out_rows.start) * s.out_width() + x;
                        let from = match source {
                            Source::Activation => input_pixel(s, y, x, tap).map(|(iy, ix)| {
                                (image * rows + iy / skip - first_row) * columns + ix / skip
                            }),
                            Source::Image => {
                                let row = image * rows + y * s.stride + tap - first_row;
                                Some((row * s.image().columns() + x * s.stride) * s.in_channels)
                            }
                        };
                        if let Some(from) = from {
                            pairs.push((offset(from), offset(to)));
                        }
                    }
                }
            }
        }
        Block { first_row, rows, first_out: out_rows.start, pixels, pairs }
    }
}

/// `dw = partial[0] + partial[1] + ...`, in this order.
pub(in crate::conv) fn sum_chunks(
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
        #[inline(always)]
        fn run<V: Vector, const TILE: usize>(self) {
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
    let parts = Parts::new(dw, PART);
    cpu.pool().run(items, &|_, item| {
        // SAFETY: each item takes its own part.
        let out = unsafe { parts.get(item) };
        cpu.isa().dispatch(Sum { out, partial: &partial[item * PART..], chunks, stride });
    });
}
