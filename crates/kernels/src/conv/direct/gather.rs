//! Indirect GEMM (Dukhan 2019): the matrix product of the forward pass and of the gradient of the
//! input. Its left operand is read through an indirection buffer.
//!
//! ```text
//!                   B, a panel: 2 vectors of output channels
//!                  ┌────────────┐
//!            depth │  weights   │  packed [panel][tap][word of the run][2 vectors]
//!                  └────────────┘
//!       ┌────────┐ ┌────────────┐
//!  A    │ inputs │ │ C          │  a register tile: MR output pixels x 2 vectors
//!       └────────┘ └────────────┘
//! ```
//!
//! The depth is counted in 32-bit words. A word of bfloat16 holds two adjacent channels, and a
//! product of words adds the products of both.
//!
//! The loops are those of BLIS, in another order. There is no LOOP 5, since an item has all
//! outputs. LOOP 4 is inside of LOOP 2: sums between blocks of the depth are kept for one panel
//! only, in `partial`.
//!
//! ```text
//! LOOP 3  pixels, MC: one item of work
//! LOOP 2  outputs, NR = 2 vectors: a panel of weights
//! LOOP 4  taps and their words, KC: the panel's block of weights stays in the L1 cache
//! LOOP 1  pixels, MR: a register tile
//! -       taps of the block, then words of a tap's run: the micro-kernel
//! ```

use std::ops::Range;

use super::{
    indirection::{IndirectionBuffer, OUTSIDE},
    panels::{Panel, Panels},
};
use crate::{
    conv::epilogue::TypedEpilogue,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// The most words of a block of the depth. 320 x 2 AVX-512 vectors are 40 KiB of weights, most of
/// an L1 cache of 48 KiB. Of 128 to 320, this is the fastest on Zen 5. It also bounds the length of a sum.
const KC: usize = 320;

/// What taps in the padding read: zeros in any scalar type.
static ZEROS: [f32; KC] = [0.0; KC];

/// An item of work: consecutive output pixels of one image or several.
pub(super) struct Gather<'a, X, T> {
    pub(super) tables: &'a [IndirectionBuffer],
    pub(super) panels: Panels,
    /// Packed weights of the tables, one after the other.
    pub(super) weights: &'a [f32],
    /// All images.
    pub(super) source: &'a [X],
    /// Values from one input image to the next.
    pub(super) source_image: usize,
    /// This item's part of the output.
    pub(super) output: &'a mut [T],
    /// Values from one output image to the next.
    pub(super) output_image: usize,
    /// Stored output channels.
    pub(super) channels: usize,
    /// The item's first image, and the first pixel of it.
    pub(super) first: (usize, usize),
    /// Images that the item covers whole, or else its number of pixels.
    pub(super) extent: Extent,
    /// The epilogue; its `residual` is cut to the item's part.
    pub(super) epilogue: TypedEpilogue<'a, T>,
    /// Sums between blocks of the depth.
    pub(super) partial: &'a mut [f32],
}

/// The pixels of an item and their order in tiles.
#[derive(Clone, Copy)]
pub(super) enum Extent {
    /// This number of pixels, in the order of memory.
    Pixels(usize),
    /// All pixels of this number of images. A tile takes the same pixel of several images. On small images
    /// most tiles touch the border, and a tap that is in the padding for a whole tile is skipped:
    /// 31% of the products of a 3x3 window on 4x4 pixels.
    Images(usize),
}

impl<X: Scalar, T: Scalar> Kernel for Gather<'_, X, T> {
    type Output = ();
    const PAIRS: bool = X::PACK * T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(mut self) {
        let (mut rest, panels) = (self.weights, self.panels);
        for table in self.tables {
            if let Some(block) = panels.block {
                let (weights, after) = rest.split_at(panels.packed_len(table.len()));
                rest = after;
                match block {
                    4 => self.narrow::<V, MR, 4>(table, weights),
                    _ => self.narrow::<V, MR, 8>(table, weights),
                }
                continue;
            }
            // LOOP 2: panels of NR outputs.
            for panel in panels.all() {
                let width = panel.vectors * V::LANES;
                let (weights, after) = rest.split_at(table.len() * panel.span / X::PACK * width);
                rest = after;
                if panel.vectors == 2 {
                    self.panel::<V, MR, 2>(table, weights, panel);
                } else {
                    self.panel::<V, MR, 1>(table, weights, panel);
                }
            }
        }
    }
}

impl<X: Scalar, T: Scalar> Gather<'_, X, T> {
    #[inline(always)]
    fn panel<V: Vector, const MR: usize, const NV: usize>(
        &mut self,
        table: &IndirectionBuffer,
        weights: &[f32],
        panel: Panel,
    ) {
        let Panel { first: channel, start, span, .. } = panel;
        let run = span / X::PACK;
        assert_eq!(weights.len(), table.len() * run * NV * V::LANES);
        assert!(start + span <= table.run);
        let count = self.count(table);
        let tiles = count.div_ceil(MR);
        let blocks = DepthBlocks::of(table.len(), run);
        assert!(blocks.count < 2 || self.partial.len() >= tiles * MR * NV * V::LANES);
        // LOOP 4: blocks of the depth.
        for block in 0..blocks.count.max(1) {
            let (taps, ks) = blocks.ranges(block);
            let mut walk = Walk::new(table, self.first, self.extent);
            // LOOP 1: MR pixels.
            for tile in 0..tiles {
                let valid = MR.min(count - tile * MR);
                let place = walk.tile::<MR>(valid);
                let rows = self.rows(table, &place);
                let held = self.partial.as_mut_ptr().wrapping_add(tile * MR * NV * V::LANES);
                let mut sums = [[V::zero(); NV]; MR];
                for tap in taps.clone() {
                    // SAFETY: the tap is one of the table's, and `k` within its run.
                    let inputs = unsafe { rows.inputs(tap, start + ks.start * X::PACK) };
                    let Some(inputs) = inputs else { continue };
                    let at = (tap * run + ks.start) * NV * V::LANES;
                    let weights = &weights[at..at + ks.len() * NV * V::LANES];
                    // SAFETY: the table keeps `run` values in bounds from each start.
                    unsafe { micro_kernel::<X, V, MR, NV>(&mut sums, &inputs, weights, ks.len()) };
                }
                // Added at the end: many short sums round less than a long one.
                if block > 0 {
                    for (i, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
                        // SAFETY: within the tile's part of `partial`.
                        *sum = sum.add(unsafe { V::load(held.add(i * V::LANES)) });
                    }
                }
                if block + 1 < blocks.count {
                    for (i, sum) in sums.as_flattened().iter().enumerate() {
                        // SAFETY: within the tile's part of `partial`.
                        unsafe { sum.store(held.add(i * V::LANES)) };
                    }
                } else {
                    self.finish::<V, MR, NV>(table, &place, valid, channel, sums);
                }
            }
        }
    }

    /// Pixels of the item.
    #[inline(always)]
    pub(super) fn count(&self, table: &IndirectionBuffer) -> usize {
        match self.extent {
            Extent::Pixels(count) => count,
            Extent::Images(images) => images * table.pixels(),
        }
    }

    /// The rows of the indirection buffer for a tile.
    #[inline(always)]
    pub(super) fn rows<const MR: usize>(
        &self,
        table: &IndirectionBuffer,
        place: &Place<MR>,
    ) -> TapRows<X, MR> {
        let taps = table.len();
        TapRows {
            starts: std::array::from_fn(|p| table.starts[place.pixel[p] * taps..][..taps].as_ptr()),
            images: std::array::from_fn(|p| {
                self.source[place.image[p] * self.source_image..][..self.source_image].as_ptr()
            }),
        }
    }

    #[inline(always)]
    pub(super) fn finish<V: Vector, const MR: usize, const NV: usize>(
        &mut self,
        table: &IndirectionBuffer,
        place: &Place<MR>,
        valid: usize,
        channel: usize,
        sums: [[V; NV]; MR],
    ) {
        let base = self.first.0 * self.output_image + self.first.1 * self.channels;
        for (p, row) in sums.into_iter().enumerate().take(valid) {
            let pixel = table.outputs[place.pixel[p]] as usize;
            let at = place.image[p] * self.output_image + pixel - base + channel;
            let out = &mut self.output[at..at + NV * V::LANES];
            assert!(self.epilogue.residual.is_none_or(|r| r.len() >= at + out.len()));
            assert!(self.epilogue.bias.is_none_or(|b| b.len() >= channel + out.len()));
            for (v, sum) in row.into_iter().enumerate() {
                let lane = v * V::LANES;
                // SAFETY: the slices hold NV vectors from here on.
                unsafe {
                    let bias = self.epilogue.bias::<V>(channel + lane);
                    let sum = if let Some(bias) = bias { sum.add(bias) } else { sum };
                    self.epilogue.store(sum, at + lane, self.output.as_mut_ptr());
                }
            }
        }
    }
}

/// Where the taps of a tile start.
pub(super) struct TapRows<T, const MR: usize> {
    starts: [*const u32; MR],
    images: [*const T; MR],
}

impl<T: Scalar, const MR: usize> TapRows<T, MR> {
    /// Value `k` of a tap for each pixel, or none where the tap is in the padding for all.
    ///
    /// # Safety
    /// The table must have the tap, and `k` be within its run.
    #[inline(always)]
    pub(super) unsafe fn inputs(&self, tap: usize, k: usize) -> Option<[*const T; MR]> {
        let mut any = false;
        let inputs = std::array::from_fn(|p| {
            // SAFETY: the row has this tap; a start inside the image has a run after it.
            unsafe {
                let start = *self.starts[p].add(tap);
                let inside = start != OUTSIDE;
                any |= inside;
                let at = self.images[p].wrapping_add(start as usize + k);
                if inside { at } else { ZEROS.as_ptr().cast() }
            }
        });
        any.then_some(inputs)
    }
}

/// The micro-kernel, of one tap: `sums[p][v] += inputs[p][k] * weights[k][v]`, for words `k` of its
/// run.
///
/// ```text
///                           weights[k]
///                          ┌─────────┬─────────┐
///                          │ vector 0│ vector 1│
///                          └─────────┴─────────┘
/// k of ─ pixel 0 splat ──▶ ┌─────────┬─────────┐
/// the    pixel 1 splat ──▶ │    MR x NV sums   │
/// run         ...          └─────────┴─────────┘
/// ```
///
/// # Safety
/// Each input must be valid for reading `depth` words, and `weights` hold `depth * NV` vectors.
#[inline(always)]
unsafe fn micro_kernel<X: Scalar, V: Vector, const MR: usize, const NV: usize>(
    sums: &mut [[V; NV]; MR],
    inputs: &[*const X; MR],
    weights: &[f32],
    depth: usize,
) {
    let mut w = weights.as_ptr();
    for k in 0..depth {
        // SAFETY: the caller's contract.
        unsafe {
            let row: [V; NV] = std::array::from_fn(|v| V::load(w.add(v * V::LANES)));
            w = w.add(NV * V::LANES);
            for p in 0..MR {
                let x = V::splat(inputs[p].cast::<f32>().add(k).read_unaligned());
                for v in 0..NV {
                    sums[p][v] = X::multiply(row[v], x, sums[p][v]);
                }
            }
        }
    }
}

/// The depth cut into blocks: several whole taps, or part of one.
struct DepthBlocks {
    count: usize,
    /// Number of taps, and words of each, of all blocks together.
    depth: (usize, usize),
    taps: usize,
    parts: usize,
    part: usize,
}

impl DepthBlocks {
    /// The blocks of `taps` taps of `run` words.
    fn of(taps: usize, run: usize) -> Self {
        let depth = (taps, run);
        if run > KC {
            let parts = run.div_ceil(KC);
            let part = run.div_ceil(parts);
            return DepthBlocks { count: taps * parts, depth, taps: 1, parts, part };
        }
        // Of equal size, as far as possible.
        let count = taps.div_ceil((KC / run).max(1));
        let taps = taps.div_ceil(count.max(1));
        DepthBlocks { count, depth, taps, parts: 1, part: run }
    }

    /// The taps of a block, and the words of their runs.
    fn ranges(&self, block: usize) -> (Range<usize>, Range<usize>) {
        let (tap, part) = (block / self.parts * self.taps, block % self.parts);
        let taps = tap.min(self.depth.0)..(tap + self.taps).min(self.depth.0);
        (taps, part * self.part..((part + 1) * self.part).min(self.depth.1))
    }
}

/// Image and pixel of each row of a tile.
pub(super) struct Place<const MR: usize> {
    image: [usize; MR],
    pixel: [usize; MR],
}

/// Visits the pixels of an item in the order of its tiles.
pub(super) struct Walk {
    image: usize,
    pixel: usize,
    pixels: usize,
    first_image: usize,
    /// Images whose same pixels are next to each other; 0 for the order of memory.
    across: usize,
}

impl Walk {
    #[inline(always)]
    pub(super) fn new(table: &IndirectionBuffer, first: (usize, usize), extent: Extent) -> Self {
        let across = if let Extent::Images(images) = extent { images } else { 0 };
        Walk {
            image: first.0,
            pixel: first.1,
            pixels: table.pixels(),
            first_image: first.0,
            across,
        }
    }

    /// The next `valid` pixels; the rest of the tile repeats the last.
    #[inline(always)]
    pub(super) fn tile<const MR: usize>(&mut self, valid: usize) -> Place<MR> {
        let mut place = Place { image: [self.image; MR], pixel: [self.pixel; MR] };
        let mut last = (self.image, self.pixel);
        for p in 0..MR {
            if p < valid {
                last = (self.image, self.pixel);
                self.step();
            }
            (place.image[p], place.pixel[p]) = last;
        }
        place
    }

    #[inline(always)]
    fn step(&mut self) {
        if self.across > 0 {
            self.image += 1;
            if self.image == self.first_image + self.across {
                (self.image, self.pixel) = (self.first_image, self.pixel + 1);
            }
        } else {
            self.pixel += 1;
            if self.pixel == self.pixels {
                (self.image, self.pixel) = (self.image + 1, 0);
            }
        }
    }
}
