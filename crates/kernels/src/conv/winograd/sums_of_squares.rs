//! Sums of squares of the channels of an activation, from which quantisation scales follow.

use std::ops::Range;

use super::{
    grid::{BLOCK, Grid},
    quantise::load_f32_words,
};
use crate::{
    chunks::DisjointChunks,
    conv::operands::TypedInput,
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// An activation, in bands of tiles.
#[derive(Clone, Copy)]
pub(super) struct Bands<'a, T> {
    pub(super) grid: &'a Grid,
    pub(super) read: TypedInput<'a, T>,
    pub(super) images: usize,
    /// Side of the patch of pixels that a tile reads.
    pub(super) side: usize,
    /// Rows and columns of the patch before the tile's own.
    pub(super) border: usize,
}

/// Items of work of a sum over all bands, at most.
const ITEMS: usize = 32;

/// The range of sums of squares that are precise enough to divide by, far from the smallest and the
/// largest f32.
pub(super) const USABLE: Range<f32> = 1.0 / (1u128 << 105) as f32..(1u128 << 90) as f32;

/// Where all sums of a band are below this, its squares may be lost to underflow.
const UNDERFLOW: f32 = 1e-30;

/// A scale by which the square of any bfloat16 except zero is more than zero, or infinite. (A value
/// after a batch norm may be smaller.)
const MAGNIFIED: f32 = (1u128 << 64) as f32;

impl<'a, T: Scalar> Bands<'a, T> {
    /// Bands that have each pixel once.
    pub(super) fn disjoint(grid: &'a Grid, read: TypedInput<'a, T>, images: usize) -> Self {
        Bands { grid, read, images, side: grid.side, border: 0 }
    }

    /// The number of bands.
    pub(super) fn count(&self) -> usize {
        self.images * self.grid.bands()
    }

    /// Words that [`Bands::of_batch`] takes, for sums and scratch.
    pub(super) fn scratch_len(channels: usize) -> usize {
        (ITEMS + 2) * channels
    }

    /// Sums of squares of every channel in each band, over all patches: `[band][channel]`.
    pub(super) fn of_every_band(&self, cpu: &Cpu, to: &mut [f32]) {
        let channels = self.grid.channels;
        let parts = DisjointChunks::new(&mut to[..self.count() * channels], channels);
        cpu.pool().run_chunks(self.count(), parts, |band, to| {
            self.of_band(cpu, band, to);
        });
    }

    /// Sums of squares of every channel of one band, on this thread. They are NaN where the squares
    /// of all channels are lost to underflow.
    pub(super) fn of_band(&self, cpu: &Cpu, band: usize, to: &mut [f32]) {
        let squares = |scale: Option<f32>, to: &mut [f32]| {
            to.fill(0.0);
            cpu.isa().dispatch(BandSquares { of: *self, bands: band..band + 1, scale, to });
        };
        squares(None, to);
        if to.iter().all(|&x| x < UNDERFLOW) {
            squares(Some(MAGNIFIED), to);
            let is_zero = to.iter().all(|&x| x == 0.0);
            to.fill(if is_zero { 0.0 } else { f32::NAN });
        }
    }

    /// Sums of squares of every channel of the batch. Returns whether they are usable: none is too
    /// large for an f32, NaN, or small without being zero.
    pub(super) fn of_batch(&self, cpu: &Cpu, to: &mut [f32], scratch: &mut [f32]) -> bool {
        self.sum(cpu, None, to, scratch);
        self.are_usable(cpu, to, scratch)
    }

    /// Whether the sums of squares of the batch are usable.
    pub(super) fn are_usable(&self, cpu: &Cpu, sums: &[f32], scratch: &mut [f32]) -> bool {
        if !sums.iter().all(|&x| x < USABLE.end) {
            return false;
        }
        if sums.iter().all(|&x| x >= USABLE.start) {
            return true;
        }
        // A small sum may have lost squares to underflow.
        let (magnified, scratch) = scratch.split_at_mut(sums.len());
        self.sum(cpu, Some(MAGNIFIED), magnified, scratch);
        sums.iter().zip(&*magnified).all(|(&x, &magnified)| x >= USABLE.start || magnified == 0.0)
    }

    fn sum(&self, cpu: &Cpu, scale: Option<f32>, to: &mut [f32], scratch: &mut [f32]) {
        let (channels, bands) = (self.grid.channels, self.count());
        let items = bands.min(ITEMS);
        let parts = DisjointChunks::new(&mut scratch[..items * channels], channels);
        cpu.pool().run_chunks(items, parts, |item, to| {
            to.fill(0.0);
            let bands = bands * item / items..bands * (item + 1) / items;
            cpu.isa().dispatch(BandSquares { of: *self, bands, scale, to });
        });
        to.fill(0.0);
        add_lines(&scratch[..items * channels], to);
    }
}

/// `to += ` each of some lines of as many values.
pub(super) fn add_lines(lines: &[f32], to: &mut [f32]) {
    for line in lines.chunks_exact(to.len()) {
        to.iter_mut().zip(line).for_each(|(to, x)| *to += x);
    }
}

/// Adds sums of squares of some bands, of values after the batch norm, times a scale.
struct BandSquares<'a, T> {
    of: Bands<'a, T>,
    bands: Range<usize>,
    scale: Option<f32>,
    to: &'a mut [f32],
}

impl<T: Scalar> Kernel for BandSquares<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let BandSquares { of, bands, scale, to } = self;
        let Bands { grid, read, side, border, .. } = of;
        let (channels, step) = (grid.channels, V::LANES * T::PACK);
        assert!(channels.is_multiple_of(BLOCK * T::PACK) && to.len() >= channels);
        read.check(channels);
        for band in bands {
            let (image, band) = (band / grid.bands(), band % grid.bands());
            let image = &read.values[image * grid.image_len()..][..grid.image_len()];
            let first = (band * grid.side).saturating_sub(border);
            let end = (band * grid.side + side - border).min(grid.height);
            let row = grid.width * channels;
            let band = Band { of: &of, pixels: &image[first * row..end * row], scale };
            let mut channel = 0;
            while channel + 2 * step <= channels {
                band.sum::<V, 2>(channel, to);
                channel += 2 * step;
            }
            while channel < channels {
                band.sum::<V, 1>(channel, to);
                channel += step;
            }
        }
    }
}

/// The pixels of a band.
struct Band<'a, T> {
    of: &'a Bands<'a, T>,
    pixels: &'a [T],
    scale: Option<f32>,
}

impl<T: Scalar> Band<'_, T> {
    /// Adds sums of squares of `N` vectors of words from `channel` on.
    #[inline(always)]
    fn sum<V: Vector, const N: usize>(&self, channel: usize, to: &mut [f32]) {
        let Bands { grid, read, .. } = *self.of;
        let (channels, step) = (grid.channels, V::LANES * T::PACK);
        assert!(channel + N * step <= channels && to.len() >= channels);
        let mut norms = [([V::zero(); 2], [V::zero(); 2]); N];
        if let Some(norm) = read.norm {
            assert!(norm.scale.len() >= channels && norm.shift.len() >= channels);
            for (n, norms) in norms.iter_mut().enumerate() {
                let at = channel + n * step;
                // SAFETY: within the stored channels.
                unsafe {
                    let (scale, shift) = (norm.scale.as_ptr().add(at), norm.shift.as_ptr().add(at));
                    *norms = (load_f32_words::<T, V>(scale), load_f32_words::<T, V>(shift));
                }
            }
        }
        let mut sums = [[V::zero(); 2]; N];
        for row in self.pixels.chunks_exact(grid.width * channels) {
            for (x, pixel) in row.chunks_exact(channels).enumerate() {
                let often = self.of.patches(x);
                for (n, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: within the pixel's channels.
                    let words: [V; 2] =
                        unsafe { T::load_words(pixel.as_ptr().add(channel + n * step)) };
                    for (half, mut value) in words.into_iter().enumerate() {
                        if read.norm.is_some() {
                            let (scale, shift) = norms[n];
                            value = value.mul_add(scale[half], shift[half]).relu();
                        }
                        if let Some(scale) = self.scale {
                            value = value.mul(V::splat(scale));
                        }
                        let often =
                            if often == 1 { value } else { value.mul(V::splat(often as f32)) };
                        sums[half] = value.mul_add(often, sums[half]);
                    }
                }
            }
        }
        for (n, sums) in sums.into_iter().enumerate() {
            let both = if T::PACK == 2 { V::interleave(sums[0], sums[1]) } else { sums };
            for (at, sum) in both.into_iter().enumerate().take(T::PACK) {
                let to = &mut to[channel + n * step + at * V::LANES..];
                V::read(to).add(sum).write(to);
            }
        }
    }
}

impl<T> Bands<'_, T> {
    /// The number of patches of a band that contain a column of pixels.
    #[inline(always)]
    fn patches(&self, x: usize) -> usize {
        let (side, x) = (self.grid.side, x + self.border);
        if self.side == side {
            return 1;
        }
        let last = (x / side).min(self.grid.columns() - 1);
        last + 1 - (x + 1).saturating_sub(self.side).div_ceil(side)
    }
}
