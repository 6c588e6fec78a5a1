//! The gradient of the weights: a product over pixels.
//!
//! ```text
//!                   B, a panel: 2 vectors of input channels
//!                  ┌───────────┐
//!           pixels │     x     │  packed [word of pixels][2 vectors]
//!                  └───────────┘
//!      ┌─────────┐ ┌───────────┐
//!  A   │ dy^T    │ │ C         │  a register tile: MR output channels x 2 vectors
//!      └─────────┘ └───────────┘
//!        packed [16 channels][word of pixels][16]
//! ```
//!
//! A word of bfloat16 holds two pixels. The loops are those of BLIS, in another order:
//!
//! ```text
//! -       parts of the pixels, whose sums are added in order at the end  ┐
//! LOOP 3  output channels, MC                                            │ one item of work
//! LOOP 5  input channels, NC                                             ┘
//! LOOP 4  pixels, KC: a block of them, packed, in the L1 and L2 caches; the next is prefetched
//! LOOP 2  input channels, NR = 2 vectors: a panel of x
//! LOOP 1  output channels, MR: a register tile
//! -       pixels, one word: the micro-kernel
//! ```
//!
//! All cuts follow from the shape, so that the result does not depend on the number of threads.

use std::ops::Range;

use super::strided_pixels::StridedPixels;
use crate::{
    chunks::DisjointChunks,
    conv::{reduce::sum_partials, shape::ConvShape},
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// The target number of items.
const ITEMS: usize = 8;
/// The most input and output channels of an item, and the most words of their sums (256 KB).
const INPUTS: usize = 512;
const OUTPUTS: usize = 256;
const SUMS: usize = 64 * 1024;
/// Words of pixels of a block. With two AVX-512 vectors each, a panel takes 16 KiB, half of an L1
/// cache.
const KC: usize = 128;
/// The fewest words of pixels of a part.
const PART: usize = 512;
/// Output channels of a column of packed `dy`.
const COLUMN: usize = 16;

/// The cuts of a shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct GemmBackwardWeight {
    inputs: usize,
    outputs: usize,
    /// Channels of an item.
    group: (usize, usize),
    /// Pixels of a word.
    pack: usize,
}

impl GemmBackwardWeight {
    pub(super) fn new(s: &ConvShape, pack: usize) -> Self {
        let (inputs, outputs) = (s.in_channels, s.out_channels);
        // Of equal size, as far as possible.
        let even = |all: usize, most: usize| all.div_ceil(all.div_ceil(most));
        let wide = even(inputs, INPUTS).next_multiple_of(2 * COLUMN);
        let high = even(outputs, OUTPUTS.min(SUMS / wide)).next_multiple_of(COLUMN);
        GemmBackwardWeight { inputs, outputs, group: (wide, high), pack }
    }

    /// Output channels of an item, and the number of parts, for `rows` pixels.
    fn cut(&self, rows: usize) -> (usize, usize) {
        let (wide, high) = self.group;
        let across = self.inputs.div_ceil(wide);
        let groups = across * self.outputs.div_ceil(high);
        let most = (rows.div_ceil(self.pack) / PART).max(1);
        let parts = ITEMS.div_ceil(groups).clamp(1, most);
        // Few pixels allow few parts, so there are more groups instead.
        let down = (ITEMS / (parts * across)).max(1);
        let less = self.outputs.div_ceil(down).next_multiple_of(COLUMN).max(2 * COLUMN);
        (high.min(less), parts)
    }

    /// Words of a thread's packed pixels, of both sides.
    fn packed(&self, cpu: &Cpu) -> (usize, usize) {
        (KC * 2 * cpu.isa().lanes(), KC * self.group.1)
    }

    /// Values of scratch, for up to `rows` pixels.
    pub(super) fn scratch_len(&self, cpu: &Cpu, rows: usize) -> usize {
        let (x, dy) = self.packed(cpu);
        // Fewer pixels have no more parts.
        let (_, parts) = self.cut(rows);
        let sums = if parts > 1 { parts * self.inputs * self.outputs } else { 0 };
        cpu.threads() * (x + dy) + sums
    }

    pub(super) fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        rows: usize,
        (x_at, x): (&StridedPixels, &[T]),
        (dy_at, dy): (&StridedPixels, &[T]),
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        if rows == 0 {
            dw.fill(0.0);
            return;
        }
        let (high, parts) = self.cut(rows);
        let wide = self.group.0;
        let (across, down) = (self.inputs.div_ceil(wide), self.outputs.div_ceil(high));
        let (x_len, dy_len) = self.packed(cpu);
        let (packed, partial) = scratch.split_at_mut(cpu.threads() * (x_len + dy_len));
        let len = self.inputs * self.outputs;
        let sums = if parts > 1 { &mut partial[..parts * len] } else { &mut *dw };
        let sums = DisjointChunks::new(sums, 0);
        let words = rows.div_ceil(self.pack);
        let cut = |part: usize| rows.min(part * words / parts * self.pack);
        let (items, each) = (parts * across * down, x_len + dy_len);
        cpu.pool().run_scratch(items, (), (packed, each), |item, (), packed| {
            let (part, group) = (item / (across * down), item % (across * down));
            let (input, output) = (group % across * wide, group / across * high);
            let (x_pack, dy_pack) = packed.split_at_mut(x_len);
            cpu.isa().dispatch(ChannelItem {
                x,
                x_at,
                dy,
                dy_at,
                rows: cut(part)..cut(part + 1),
                total: rows,
                inputs: input..(input + wide).min(self.inputs),
                outputs: output..(output + high).min(self.outputs),
                x_pack,
                dy_pack,
                sums: sums.as_mut_ptr().wrapping_add(part * len),
                row: self.inputs,
            });
        });
        if parts > 1 {
            sum_partials(cpu, dw, partial, parts, len);
        }
    }
}

/// Some output and input channels over a part of the pixels.
struct ChannelItem<'a, T> {
    x: &'a [T],
    x_at: &'a StridedPixels,
    dy: &'a [T],
    dy_at: &'a StridedPixels,
    rows: Range<usize>,
    /// Pixels of all items.
    total: usize,
    inputs: Range<usize>,
    outputs: Range<usize>,
    x_pack: &'a mut [f32],
    dy_pack: &'a mut [f32],
    /// `[out][in]` of the part.
    sums: *mut f32,
    /// All input channels.
    row: usize,
}

/// Where the pixels of a block start.
struct Starts {
    x: [usize; 2 * KC],
    dy: [usize; 2 * KC],
}

impl<T: Scalar> Kernel for ChannelItem<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(mut self) {
        let block = KC * T::PACK;
        let mut here = Starts { x: [0; _], dy: [0; _] };
        let mut next = Starts { x: [0; _], dy: [0; _] };
        self.starts(self.rows.start, &mut next);
        // LOOP 4: blocks of pixels.
        for first in self.rows.clone().step_by(block) {
            std::mem::swap(&mut here, &mut next);
            self.starts(first + block, &mut next);
            let rows = block.min(self.rows.end - first);
            // 4 and 8 divide a column of outputs; 6, the MR of AVX2, does not.
            if MR == 8 {
                self.block::<V, 8>(&here, &next, rows, first == self.rows.start);
            } else {
                self.block::<V, 4>(&here, &next, rows, first == self.rows.start);
            }
        }
    }
}

impl<T: Scalar> ChannelItem<'_, T> {
    #[inline(always)]
    fn starts(&self, first: usize, starts: &mut Starts) {
        let count = KC * T::PACK;
        self.x_at.starts(first, self.total, &mut starts.x[..count]);
        self.dy_at.starts(first, self.total, &mut starts.dy[..count]);
    }

    #[inline(always)]
    fn block<V: Vector, const MR: usize>(
        &mut self,
        here: &Starts,
        next: &Starts,
        rows: usize,
        first: bool,
    ) {
        let words = rows.div_ceil(T::PACK);
        let high = self.outputs.len();
        for word in 0..words {
            let column = |c: usize| c * KC * COLUMN + word * COLUMN;
            for c in 0..high / COLUMN {
                let to = &mut self.dy_pack[column(c)..][..COLUMN];
                let channel = self.outputs.start + c * COLUMN;
                pack::<T, V>(self.dy, &here.dy[..rows], word, channel, to);
            }
        }
        let mut prefetcher = BlockPrefetcher {
            x: self.x[self.inputs.start..].as_ptr(),
            dy: self.dy[self.outputs.start..].as_ptr(),
            starts: next,
            rows,
            row: 0,
            line: 0,
            x_lines: lines::<T>(self.inputs.len()),
            lines: lines::<T>(self.inputs.len()) + lines::<T>(high),
        };
        let nr = 2 * V::LANES;
        // LOOP 2: panels of NR input channels.
        for channel in self.inputs.clone().step_by(nr) {
            let width = nr.min(self.inputs.end - channel);
            for word in 0..words {
                let to = &mut self.x_pack[word * width..][..width];
                pack::<T, V>(self.x, &here.x[..rows], word, channel, to);
            }
            // LOOP 1: MR output channels.
            for out in (0..high).step_by(MR) {
                let dy = out / COLUMN * KC * COLUMN + out % COLUMN;
                let dy = &self.dy_pack[dy..];
                assert!(
                    dy.len() >= (words - 1) * COLUMN + MR && self.x_pack.len() >= words * width
                );
                // SAFETY: both sides are packed; the sums of these channels are this item's own.
                unsafe {
                    let sums = self.sums.add((self.outputs.start + out) * self.row + channel);
                    let (x, dy, to) = (self.x_pack.as_ptr(), dy.as_ptr(), (sums, self.row));
                    if width == nr {
                        micro_kernel::<T, V, MR, 2>(x, dy, words, to, first, &mut prefetcher);
                    } else {
                        micro_kernel::<T, V, MR, 1>(x, dy, words, to, first, &mut prefetcher);
                    }
                }
            }
        }
    }
}

/// Cache lines of `values` values.
fn lines<T>(values: usize) -> usize {
    (values * size_of::<T>()).div_ceil(LINE)
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Prefetches the next block of pixels, one cache line per call.
struct BlockPrefetcher<'a, T> {
    x: *const T,
    dy: *const T,
    starts: &'a Starts,
    rows: usize,
    row: usize,
    line: usize,
    x_lines: usize,
    /// Of a pixel of both sides.
    lines: usize,
}

impl<T: Scalar> BlockPrefetcher<'_, T> {
    #[inline(always)]
    fn prefetch<V: Vector>(&mut self) {
        if self.row >= self.rows {
            return;
        }
        if self.line < self.x_lines {
            let start = self.x.wrapping_add(self.starts.x[self.row]).cast::<u8>();
            V::prefetch(start.wrapping_add(self.line * LINE));
        } else {
            let start = self.dy.wrapping_add(self.starts.dy[self.row]).cast::<u8>();
            V::prefetch(start.wrapping_add((self.line - self.x_lines) * LINE));
        }
        self.line += 1;
        if self.line == self.lines {
            (self.row, self.line) = (self.row + 1, 0);
        }
    }
}

/// Packs some channels of a pixel, or of two, to words. A pixel after the last is zero.
#[inline(always)]
fn pack<T: Scalar, V: Vector>(
    values: &[T],
    starts: &[usize],
    word: usize,
    channel: usize,
    to: &mut [f32],
) {
    let row = |at: usize| starts.get(at).map(|start| &values[start + channel..][..to.len()]);
    let low = row(word * T::PACK).expect("a word has a pixel");
    let high = row(word * T::PACK + T::PACK - 1);
    for i in (0..low.len()).step_by(V::LANES) {
        let a: V = T::read(&low[i..]);
        let b = high.map_or(V::zero(), |high| T::read(&high[i..]));
        T::pack(a, b).write(&mut to[i..]);
    }
}

/// The micro-kernel: `sums[p][lane] (+)= sum over words of dy[word][p] * x[word][lane]`.
///
/// ```text
///                           x[word]: input channels
///                          ┌─────────┬─────────┐
///                          │ vector 0│ vector 1│
///                          └─────────┴─────────┘
/// dy ─── output 0 splat ─▶ ┌─────────┬─────────┐
/// [word] output 1 splat ─▶ │    MR x NV sums   │
///             ...          └─────────┴─────────┘
/// ```
///
/// # Safety
/// `x` must hold `words` lines of `NV` vectors, `dy` as many of [`COLUMN`] words, and `to` the
/// tile, with rows that are `row` words apart.
#[inline(always)]
unsafe fn micro_kernel<T: Scalar, V: Vector, const MR: usize, const NV: usize>(
    x: *const f32,
    dy: *const f32,
    words: usize,
    (to, row): (*mut f32, usize),
    first: bool,
    prefetcher: &mut BlockPrefetcher<'_, T>,
) {
    // SAFETY: the caller's contract.
    unsafe {
        for p in 0..MR {
            for v in 0..NV {
                V::prefetch(to.add(p * row + v * V::LANES));
            }
        }
        let mut sums = [[V::zero(); NV]; MR];
        for word in 0..words {
            for _ in 0..T::PACK {
                prefetcher.prefetch::<V>();
            }
            let (x, dy) = (x.add(word * NV * V::LANES), dy.add(word * COLUMN));
            let mut vectors = [V::zero(); NV];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = V::load(x.add(v * V::LANES));
            }
            for p in 0..MR {
                let d = V::splat(*dy.add(p));
                for v in 0..NV {
                    sums[p][v] = T::multiply(vectors[v], d, sums[p][v]);
                }
            }
        }
        // Added at the end: many short sums round less than a long one.
        for (p, sums) in sums.into_iter().enumerate() {
            for (v, mut sum) in sums.into_iter().enumerate() {
                let to = to.add(p * row + v * V::LANES);
                if !first {
                    sum = sum.add(V::load(to));
                }
                sum.store(to);
            }
        }
    }
}
