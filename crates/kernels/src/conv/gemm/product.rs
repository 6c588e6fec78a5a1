//! Pixels times weights.
//!
//! ```text
//!                       B, a panel: 2 vectors of outputs
//!                      ┌────────────┐
//!                depth │  weights   │  packed [panel][word][2 vectors]
//!                      └────────────┘
//!           ┌────────┐ ┌────────────┐
//!  A, pixels│        │ │ C          │  a register tile: MR pixels x 2 vectors
//!           └────────┘ └────────────┘
//! ```
//!
//! The loops are those of BLIS, in another order. LOOP 4 is inside of LOOP 2: sums between blocks
//! of the depth are kept for one panel only, in scratch.
//!
//! ```text
//! LOOP 5  outputs, NC: split only where pixels alone make too few items ┐
//! LOOP 3  pixels, MC: a block of them, in the L2 cache                  ┘ one item of work
//! LOOP 2  outputs, NR = 2 vectors: a panel of weights
//! LOOP 4  channels, KC: the panel's block of weights stays in the L1 cache
//! LOOP 1  pixels, MR: a register tile
//! -       channels, one word: the micro-kernel
//! ```
//!
//! Weights are packed before. Pixels are not packed, but read in place, where NHWC has the channels
//! of a pixel together. Only where pixels are a large power of two apart, so that a tile falls into
//! few sets of the L1 cache, the first panel copies them.

use std::ops::Range;

use super::strided_pixels::StridedPixels;
use crate::{
    chunks::DisjointChunks,
    conv::epilogue::TypedEpilogue,
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// The most words of a block of the depth. With two AVX-512 vectors each they take 24 KiB, most of
/// an L1 cache. It also bounds the length of a sum.
const KC: usize = 192;
/// The most pixels of an item, and their target size in words: 384 KB, a part of a typical L2
/// cache.
const MC: usize = 128;
const WORDS: usize = 96 * 1024;
/// The least depth, in words, from which pixels are copied.
const COPIED: usize = 512;
/// Words of a cache line.
const LINE: usize = 16;
/// The most pixels of a register tile.
const MAX_MR: usize = 8;
/// Pixels of the shorter register tile, of instruction sets with one more.
const SHORTER: usize = 7;

/// Words of a thread's copy of pixels.
fn copy_len(depth: usize) -> usize {
    if depth < COPIED { 0 } else { (MC + MAX_MR) * (depth + LINE) }
}

/// Values of a thread's scratch: its copy of pixels, and its sums between blocks of the depth.
pub(super) fn scratch_len(depth: usize, cpu: &Cpu) -> usize {
    copy_len(depth) + (MC + MAX_MR) * 2 * cpu.isa().lanes()
}

/// The block sizes of a product: how pixels and outputs are cut into items. They change no bit of
/// the result.
pub(super) struct Blocking {
    pub(super) rows: usize,
    outputs: usize,
    /// Pixels of an item, MC.
    block: usize,
    /// Outputs of an item, NC.
    group: usize,
    /// Pixels of a register tile: MR, or one less where that leaves fewer rows empty, as 7 x 7 pixels do.
    pub(super) tile: usize,
}

impl Blocking {
    pub(super) fn new(cpu: &Cpu, rows: usize, depth: usize, outputs: usize) -> Self {
        let mr = cpu.isa().mr();
        let tiles = [mr, if mr == SHORTER + 1 { SHORTER } else { mr }];
        let blockings = tiles.map(|tile| Blocking::with_tile(cpu, rows, depth, outputs, tile));
        let [(cost, usual), (less, shorter)] = blockings;
        if less < cost { shorter } else { usual }
    }

    /// The best blocking for a register tile's pixels, and its cost.
    fn with_tile(
        cpu: &Cpu,
        rows: usize,
        depth: usize,
        outputs: usize,
        mr: usize,
    ) -> (usize, Blocking) {
        let (nr, threads) = (2 * cpu.isa().lanes(), cpu.threads());
        let panels = outputs.div_ceil(nr);
        let most = (WORDS / depth).clamp(4 * mr, MC) / mr * mr;
        let mut best = (usize::MAX, most, panels);
        // Outputs are split only where that saves time, since each group reads the pixels again.
        let mut groups = 1;
        while groups <= panels.min(2 * threads) {
            let group = panels.div_ceil(groups);
            for block in (most / 2 / mr * mr..=most).rev().step_by(mr) {
                let items = rows.div_ceil(block) * panels.div_ceil(group);
                let tiles = block.min(rows).div_ceil(mr);
                // To load a panel of weights takes about as long as a tile's products.
                let cost = items.div_ceil(threads) * (group * (tiles + 1) * 2 + tiles);
                if cost < best.0 {
                    best = (cost, block, group);
                }
            }
            groups *= 2;
        }
        // A word takes 2 products for each pixel, and 2 loads of weights.
        let cost = best.0.saturating_mul(mr + 1);
        (cost, Blocking { rows, outputs, block: best.1, group: best.2 * nr, tile: mr })
    }

    pub(super) fn items(&self) -> usize {
        self.rows.div_ceil(self.block) * self.outputs.div_ceil(self.group)
    }

    /// The pixels and outputs of an item.
    pub(super) fn item(&self, item: usize) -> (Range<usize>, Range<usize>) {
        let blocks = self.rows.div_ceil(self.block);
        let (group, block) = (item / blocks * self.group, item % blocks * self.block);
        let channels = group..(group + self.group).min(self.outputs);
        (block..(block + self.block).min(self.rows), channels)
    }
}

/// The pixels that a window with a stride skips. Their gradient is zero.
pub(super) struct SkippedPixels {
    pub(super) stride: usize,
    /// Dimensions of an image that is written.
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
}

/// An item of work: some outputs of some pixels.
pub(super) struct Product<'a, T> {
    pub(super) source: &'a [T],
    pub(super) from: &'a StridedPixels,
    pub(super) output: &'a DisjointChunks<'a, T>,
    pub(super) to: &'a StridedPixels,
    /// Packed weights of all outputs.
    pub(super) weights: &'a [f32],
    /// Words of a pixel that is read.
    pub(super) depth: usize,
    pub(super) channels: Range<usize>,
    pub(super) rows: Range<usize>,
    /// Pixels of a register tile.
    pub(super) tile: usize,
    /// Pixels of all items.
    pub(super) total: usize,
    pub(super) epilogue: &'a TypedEpilogue<'a, T>,
    pub(super) skipped: Option<&'a SkippedPixels>,
    pub(super) scratch: &'a mut [f32],
}

/// Where pixels start: those of the item, then a tile of the next item.
type Starts = [usize; MC + 2 * MAX_MR];

impl<T: Scalar> Kernel for Product<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        if MR == SHORTER + 1 && self.tile == SHORTER {
            self.panels::<V, SHORTER>();
        } else {
            self.panels::<V, MR>();
        }
    }
}

impl<T: Scalar> Product<'_, T> {
    #[inline(always)]
    fn panels<V: Vector, const MR: usize>(mut self) {
        let (mut from, mut to): (Starts, Starts) = ([0; _], [0; _]);
        assert!(MR <= MAX_MR && self.rows.len() <= MC);
        let tiles = self.rows.len().div_ceil(MR);
        self.from.starts(self.rows.start, self.total, &mut from[..(tiles + 1) * MR]);
        self.to.starts(self.rows.start, self.total, &mut to[..tiles * MR]);
        let nr = 2 * V::LANES;
        // LOOP 2: panels of NR outputs.
        for channel in self.channels.clone().step_by(nr) {
            if self.channels.end - channel >= nr {
                self.panel::<V, MR, 2>(&from, &to, channel);
            } else {
                self.panel::<V, MR, 1>(&from, &to, channel);
            }
        }
    }

    #[inline(always)]
    fn panel<V: Vector, const MR: usize, const NV: usize>(
        &mut self,
        from: &Starts,
        to: &Starts,
        channel: usize,
    ) {
        let (depth, lanes) = (self.depth, NV * V::LANES);
        let count = self.rows.len();
        let tiles = count.div_ceil(MR);
        let (first, last) = (channel == self.channels.start, channel + lanes == self.channels.end);
        let copied = copy_len(depth) > 0;
        assert!(self.scratch.len() >= copy_len(depth) + tiles * MR * lanes);
        let copy = self.scratch.as_mut_ptr();
        let partial = copy.wrapping_add(copy_len(depth));
        // A word of a pixel of this item, or of the next one's first tile.
        let source = |row: usize, k: usize| {
            self.source.as_ptr().wrapping_add(from[row]).cast::<f32>().wrapping_add(k)
        };
        let copy = |row: usize, k: usize| copy.wrapping_add(row * (depth + LINE) + k);
        let blocks = depth.div_ceil(KC);
        let part = depth.div_ceil(blocks);
        // LOOP 4: blocks of the depth.
        for block in 0..blocks {
            let ks = block * part..((block + 1) * part).min(depth);
            let at = channel * depth + ks.start * lanes;
            let weights = &self.weights[at..at + ks.len() * lanes];
            // LOOP 1: MR pixels.
            for tile in 0..tiles {
                let row = tile * MR;
                let mut rows = [std::ptr::null(); MR];
                // The rows to prefetch: the tile that is read next, from word `k` on.
                let mut next = [std::ptr::null(); MR];
                let (then, k) = if tile + 1 < tiles {
                    (row + MR, ks.start)
                } else if block + 1 < blocks {
                    (0, ks.end)
                } else if last {
                    (row + MR, 0)
                } else {
                    (0, 0)
                };
                let ends = tile + 1 == tiles && block + 1 == blocks;
                let next_is_copied = copied && if ends { !last } else { !first };
                for p in 0..MR {
                    next[p] = if next_is_copied {
                        copy(then + p, k).cast_const()
                    } else {
                        source(then + p, k)
                    };
                    rows[p] = source(row + p, ks.start);
                    if copied {
                        let held = copy(row + p, ks.start);
                        if first {
                            // As bytes: values of bfloat16 may start between two words.
                            let (to, from) = (held.cast::<u8>(), rows[p].cast::<u8>());
                            let bytes = ks.len() * size_of::<f32>();
                            // SAFETY: a pixel holds the words, and the scratch a place for them.
                            unsafe { to.copy_from_nonoverlapping(from, bytes) };
                        }
                        rows[p] = held.cast_const();
                    }
                }
                if block + 1 == blocks {
                    for to in &to[row..row + MR] {
                        for v in 0..NV {
                            let out = self.output.as_mut_ptr().wrapping_add(to + channel);
                            V::prefetch(out.wrapping_add(v * V::LANES));
                        }
                    }
                }
                let mut sums = [[V::zero(); NV]; MR];
                let held = partial.wrapping_add(row * lanes);
                // The next weights follow these; each tile prefetches its share of them.
                let share = (NV * V::LANES).div_ceil(tiles);
                let after = weights.as_ptr_range().end;
                let after = after.wrapping_add(tile * ks.len().div_ceil(LINE) * share * LINE);
                // SAFETY: all rows hold the words, and the weights the vectors.
                unsafe {
                    let next = (&next, after, share);
                    micro_kernel::<T, V, MR, NV>(&mut sums, &rows, next, weights, ks.len());
                }
                // Added at the end, since many short sums round less than a long one.
                if block > 0 {
                    for (i, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
                        // SAFETY: within the tile's part of `partial`.
                        *sum = sum.add(unsafe { V::load(held.add(i * V::LANES)) });
                    }
                }
                if block + 1 < blocks {
                    for (i, sum) in sums.as_flattened().iter().enumerate() {
                        // SAFETY: within the tile's part of `partial`.
                        unsafe { sum.store(held.add(i * V::LANES)) };
                    }
                    continue;
                }
                for (p, row_sums) in sums.into_iter().enumerate().take(count - row) {
                    for (v, sum) in row_sums.into_iter().enumerate() {
                        let channel = channel + v * V::LANES;
                        // SAFETY: a pixel of the output, whose channels are this item's own.
                        unsafe {
                            let bias = self.epilogue.bias::<V>(channel);
                            let sum = if let Some(bias) = bias { sum.add(bias) } else { sum };
                            let at = to[row + p] + channel;
                            self.epilogue.store(sum, at, self.output.as_mut_ptr());
                        }
                    }
                    if let Some(skipped) = self.skipped
                        && first
                    {
                        // SAFETY: the pixel is one of the output, and its cell this item's own.
                        unsafe { skipped.clear(to[row + p], self.channels.clone(), self.output) };
                    }
                }
            }
        }
    }
}

impl SkippedPixels {
    /// Stores zeros in these channels of the pixels that are skipped after the one that starts
    /// here.
    ///
    /// # Safety
    /// It must be one of `output`, and nobody else may use these channels of the skipped pixels.
    #[inline(always)]
    unsafe fn clear<T: Scalar>(
        &self,
        start: usize,
        channels: Range<usize>,
        output: &DisjointChunks<'_, T>,
    ) {
        let pixel = start / self.channels;
        let (y, x) = (pixel / self.width % self.height, pixel % self.width);
        for dy in 0..self.stride.min(self.height - y) {
            for dx in 0..self.stride.min(self.width - x) {
                if dy + dx > 0 {
                    let at = start + (dy * self.width + dx) * self.channels + channels.start;
                    // SAFETY: within the image; the caller's contract. Zero bits are zero.
                    unsafe { output.as_mut_ptr().add(at).write_bytes(0, channels.len()) };
                }
            }
        }
    }
}

/// The micro-kernel: `sums[p][v] += rows[p][k] * weights[k][v]`, for words `k`. Prefetches the next
/// tile's rows, and `share` lines of weights from `after` on for each line of the depth.
///
/// ```text
///                           weights[k]
///                          ┌─────────┬─────────┐
///                          │ vector 0│ vector 1│
///                          └─────────┴─────────┘
/// k of ─ pixel 0 splat ──▶ ┌─────────┬─────────┐
///        pixel 1 splat ──▶ │    MR x NV sums   │
///             ...          └─────────┴─────────┘
/// ```
///
/// # Safety
/// Each row must be valid for reading `depth` words, and `weights` hold `depth * NV` vectors.
#[inline(always)]
unsafe fn micro_kernel<T: Scalar, V: Vector, const MR: usize, const NV: usize>(
    sums: &mut [[V; NV]; MR],
    rows: &[*const f32; MR],
    (next, mut after, share): (&[*const f32; MR], *const f32, usize),
    weights: &[f32],
    depth: usize,
) {
    let mut w = weights.as_ptr();
    for start in (0..depth).step_by(LINE) {
        for row in next {
            V::prefetch(row.wrapping_add(start));
        }
        for _ in 0..share {
            V::prefetch(after);
            after = after.wrapping_add(LINE);
        }
        for k in start..depth.min(start + LINE) {
            // SAFETY: the caller's contract.
            unsafe {
                let mut vectors = [V::zero(); NV];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    *vector = V::load(w.add(v * V::LANES));
                }
                w = w.add(NV * V::LANES);
                for p in 0..MR {
                    let x = V::splat(rows[p].add(k).read_unaligned());
                    for v in 0..NV {
                        sums[p][v] = T::multiply(vectors[v], x, sums[p][v]);
                    }
                }
            }
        }
    }
}
