//! An item of work: packs a block of pixels, then runs register tiles over it.

use super::plan::{DirectBackwardWeight, PixelBlock, SLICE};
use crate::{
    conv::shape::Source,
    isa::{Kernel, Vector},
    layout::padded,
    scalar::Scalar,
};

/// A slice of output channels over a part of the batch.
pub(super) struct SliceItem<'a, X, T> {
    pub(super) plan: &'a DirectBackwardWeight,
    pub(super) x: &'a [X],
    pub(super) dy: &'a [T],
    pub(super) slice: usize,
    pub(super) images: std::ops::Range<usize>,
    /// `[panel][tile][tap][MR][lane]`; with groups `[panel][tap][step][lane]`.
    pub(super) sums: &'a mut [f32],
    pub(super) x_pack: &'a mut [f32],
    pub(super) dy_pack: &'a mut [f32],
    pub(super) out: &'a mut [f32],
}

impl<X: Scalar, T: Scalar> Kernel for SliceItem<'_, X, T> {
    type Output = ();
    const PAIRS: bool = X::PACK * T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(mut self) {
        if self.plan.shape.groups > 1 {
            return self.run_groups::<V, MR>();
        }
        let plan = self.plan;
        let first = self.slice * SLICE;
        let channels = SLICE.min(plan.shape.out_channels - first);
        let tiles = channels.div_ceil(MR);
        let nr = 2 * V::LANES;
        let stored = padded(plan.values);
        self.sums[..tiles * MR * plan.taps * stored].fill(0.0);
        for image in self.images.clone().step_by(plan.images * X::PACK) {
            let images = plan.images.min((self.images.end - image).div_ceil(X::PACK));
            // LOOP 4: blocks of pixels.
            for block in &plan.blocks {
                self.pack_dy::<V, MR>(block, image, images, first, channels);
                let mut sums = 0;
                // LOOP 2: panels of NR input channels.
                for channel in (0..stored).step_by(nr) {
                    let width = nr.min(stored - channel);
                    self.pack_x::<V>(block, image, images, channel, width);
                    // LOOP 1: MR output channels.
                    for tile in 0..tiles {
                        for tap in 0..plan.taps {
                            if width == nr {
                                self.micro_kernel::<V, MR, 2>(
                                    block, images, channel, tile, tap, sums,
                                );
                            } else {
                                self.micro_kernel::<V, MR, 1>(
                                    block, images, channel, tile, tap, sums,
                                );
                            }
                            sums += MR * width;
                        }
                    }
                }
            }
        }
        self.finish(MR, nr, tiles, channels);
    }
}

impl<X: Scalar, T: Scalar> SliceItem<'_, X, T> {
    /// Packs `dy` as `[tile][pixel][MR]`, with zeros past the slice.
    #[inline(always)]
    fn pack_dy<V: Vector, const MR: usize>(
        &mut self,
        block: &PixelBlock,
        image: usize,
        images: usize,
        first: usize,
        channels: usize,
    ) {
        let s = &self.plan.shape;
        let (stored, total) = (padded(s.out_channels), images * block.pixels);
        let (tiles, width) = (channels.div_ceil(MR), padded(channels));
        // Room for the last tile's lanes past the slice, which stay zero.
        let mut row = [0.0; 2 * SLICE];
        for i in 0..images {
            let [low, high] = self.pair(image + i * X::PACK, self.dy, s.out_len());
            for pixel in 0..block.pixels {
                let start = (block.first_out * s.out_width() + pixel) * stored + first;
                pack::<X, T, V>(low, high, start, &mut row[..width]);
                let at = i * block.pixels + pixel;
                for (tile, row) in row.chunks_exact(MR).enumerate().take(tiles) {
                    self.dy_pack[(tile * total + at) * MR..][..MR].copy_from_slice(row);
                }
            }
        }
    }

    /// An image, and the next one where a word holds two. After the last it is empty.
    #[inline(always)]
    pub(super) fn pair<'s, S>(&self, image: usize, all: &'s [S], len: usize) -> [&'s [S]; 2] {
        let whole = |image: usize| &all[image * len..(image + 1) * len];
        let two = X::PACK > 1 && image + 1 < self.images.end;
        [whole(image), if two { whole(image + 1) } else { &[] }]
    }

    /// Packs one panel of an activation as `[pixel][width]`, or the rows of dense images.
    #[inline(always)]
    pub(super) fn pack_x<V: Vector>(
        &mut self,
        block: &PixelBlock,
        image: usize,
        images: usize,
        channel: usize,
        width: usize,
    ) {
        let s = &self.plan.shape;
        let source = self.plan.source;
        let (columns, stored) = match source {
            Source::Activation => (self.plan.columns(), padded(s.in_channels)),
            Source::Image => (s.image().columns(), s.in_channels),
        };
        let pixels = block.rows * columns;
        for i in 0..images {
            let [low, high] = self.pair(image + i * X::PACK, self.x, s.in_len(source));
            if source == Source::Image {
                let start = block.first_row * columns * stored;
                let to = &mut self.x_pack[i * pixels * stored..][..pixels * stored];
                to.iter_mut().zip(&low[start..]).for_each(|(to, from)| *to = from.to_f32());
                continue;
            }
            let to = &mut self.x_pack[i * pixels * width..][..pixels * width];
            let skip = self.plan.skip;
            for (row, to) in to.chunks_exact_mut(columns * width).enumerate() {
                let row = (block.first_row + row) * skip * s.width;
                for (column, to) in to.chunks_exact_mut(width).enumerate() {
                    pack::<X, X, V>(low, high, (row + column * skip) * stored + channel, to);
                }
            }
        }
    }

    /// The micro-kernel: `sums[p][v] += dy[pixel][p] * x[pixel][v]`, over a list of pairs of
    /// pixels.
    ///
    /// ```text
    ///                           x[pixel]: input channels
    ///                          ┌─────────┬─────────┐
    ///                          │ vector 0│ vector 1│
    ///                          └─────────┴─────────┘
    /// dy ──── output 0 splat ─▶┌─────────┬─────────┐
    /// [pixel] output 1 splat ─▶│    MR x NV sums   │
    ///              ...         └─────────┴─────────┘
    /// ```
    #[inline(always)]
    fn micro_kernel<V: Vector, const MR: usize, const NV: usize>(
        &mut self,
        block: &PixelBlock,
        images: usize,
        channel: usize,
        tile: usize,
        tap: usize,
        at: usize,
    ) {
        let pairs = &block.pairs[tap];
        let pairs = &pairs[..pairs.len() / self.plan.images * images];
        let held = &mut self.sums[at..at + MR * NV * V::LANES];
        let (base, step) = match self.plan.source {
            Source::Activation => (0, NV * V::LANES),
            Source::Image => (channel, 1),
        };
        let dy = &self.dy_pack[tile * images * block.pixels * MR..];
        // SAFETY: `held` holds the tile; the lists stay within the packed block, and the buffer of
        // dense images ends with room for the last panel (`worker`).
        unsafe {
            let mut sums = [[V::zero(); NV]; MR];
            let (x, dy) = (self.x_pack.as_ptr().add(base), dy.as_ptr());
            for &(from, to) in pairs {
                let x = x.add(from as usize * step);
                let dy = dy.add(to as usize * MR);
                let row: [V; NV] = std::array::from_fn(|v| V::load(x.add(v * V::LANES)));
                for p in 0..MR {
                    let d = V::splat(*dy.add(p));
                    for v in 0..NV {
                        sums[p][v] = X::multiply(row[v], d, sums[p][v]);
                    }
                }
            }
            // Added at the end: many short sums round less than a long one.
            for (i, sum) in sums.as_flattened().iter().enumerate() {
                let held = held.as_mut_ptr().add(i * V::LANES);
                sum.add(V::load(held)).store(held);
            }
        }
    }

    /// Copies the sums of register tiles to `[out][tap][in]`.
    #[inline(always)]
    fn finish(&mut self, tile_len: usize, nr: usize, tiles: usize, channels: usize) {
        let (taps, values) = (self.plan.taps, self.plan.values);
        let stored = padded(values);
        for channel in 0..channels {
            let (tile, p) = (channel / tile_len, channel % tile_len);
            for tap in 0..taps {
                let out = &mut self.out[(channel * taps + tap) * values..][..values];
                for (panel, out) in out.chunks_mut(nr).enumerate() {
                    let width = nr.min(stored - panel * nr);
                    // Panels before this one are all `nr`.
                    let start = panel * nr * tiles * taps * tile_len;
                    let at = start + ((tile * taps + tap) * tile_len + p) * width;
                    out.copy_from_slice(&self.sums[at..at + out.len()]);
                }
            }
        }
    }
}

/// Packs the values of `low` from `start` on to words, with those of `high` (or zeros) where a word
/// holds two.
#[inline(always)]
pub(super) fn pack<X: Scalar, S: Scalar, V: Vector>(
    low: &[S],
    high: &[S],
    start: usize,
    to: &mut [f32],
) {
    for (i, to) in to.chunks_exact_mut(V::LANES).enumerate() {
        let range = start + i * V::LANES..start + (i + 1) * V::LANES;
        let low: V = S::read(&low[range.clone()]);
        let high = high.get(range).map_or(V::zero(), S::read);
        X::pack(low, high).write(to);
    }
}
