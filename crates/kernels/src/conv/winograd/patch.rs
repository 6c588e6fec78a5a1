//! Patches of pixels, as transforms read them.

use super::{
    product::fixed,
    tiles::{Grid, MAX_CHANNELS},
    transform::{Half, Line},
};
use crate::{conv::ScaleShift, element::Element, isa::Vector};

static ZEROS: [u64; MAX_CHANNELS / 2] = [0; MAX_CHANNELS / 2];

/// The patch of `N` x `N` input pixels around a tile, or of its `N` x `N` output pixels: one vector
/// of channels of each; zero outside of the image.
pub(super) struct Patch<E, const N: usize> {
    /// For each pixel; where all lie inside, the first and constant strides.
    pixels: [[*const E; N]; N],
    inside: bool,
    row: usize,
    column: usize,
}

impl<E: Element, const N: usize> Patch<E, N> {
    /// The patch whose first pixel lies `border` before the tile's.
    #[inline(always)]
    pub(super) fn new(grid: &Grid, images: &[E], tile: usize, border: usize) -> Self {
        let (image, y, x) = grid.place(tile);
        let image = &images[image * grid.image_len()..][..grid.image_len()];
        let (row, column) = (grid.width * grid.channels, grid.channels);
        let inside = y >= border
            && x >= border
            && y + N - border <= grid.height
            && x + N - border <= grid.width;
        let mut pixels = [[zeros(); N]; N];
        if inside {
            pixels[0][0] = image[(y - border) * row + (x - border) * column..].as_ptr();
        } else {
            for (i, line) in pixels.iter_mut().enumerate() {
                for (j, pixel) in line.iter_mut().enumerate() {
                    // Wraps where it is negative.
                    let (y, x) = ((y + i).wrapping_sub(border), (x + j).wrapping_sub(border));
                    if y < grid.height && x < grid.width {
                        *pixel = image[y * row + x * column..].as_ptr();
                    }
                }
            }
        }
        Patch { pixels, inside, row, column }
    }

    /// Applies to each pixel's channels from `channel` on, on the way into products.
    ///
    /// # Safety
    /// A vector from `channel` must lie within the stored channels.
    #[inline(always)]
    unsafe fn norm<V: Vector>(norm: Option<ScaleShift<'_>>, channel: usize) -> Option<(V, V)> {
        let n = norm?;
        // SAFETY: `Activation::check` covers the stored channels.
        unsafe {
            let (scale, shift) = (n.scale.as_ptr().add(channel), n.shift.as_ptr().add(channel));
            Some((V::load(scale), V::load(shift)))
        }
    }

    /// Where a pixel's channel is.
    #[inline(always)]
    fn at(&self, (i, j): (usize, usize), channel: usize) -> *const E {
        // All pixels of the patch lie inside, or their pointers say where to read.
        if self.inside {
            let base = self.pixels[0][0].wrapping_add(channel);
            base.wrapping_add(i * self.row + j * self.column)
        } else {
            self.pixels[i][j].wrapping_add(channel)
        }
    }

    /// A vector of channels of a pixel.
    ///
    /// # Safety
    /// It must lie within the stored channels.
    #[inline(always)]
    unsafe fn pixel<V: Vector>(
        &self,
        (i, j): (usize, usize),
        channel: usize,
        norm: Option<(V, V)>,
    ) -> V {
        // SAFETY: the caller's contract.
        let value: V = unsafe { E::load(self.at((i, j), channel)) };
        match norm {
            Some((scale, shift)) if self.inside || self.pixels[i][j] != zeros() => {
                value.mul_add(scale, shift).relu()
            }
            _ => value,
        }
    }

    /// Sums of squares of a vector of channels.
    ///
    /// # Safety
    /// It must lie within the stored channels.
    #[inline(always)]
    pub(super) unsafe fn squares<V: Vector>(
        &self,
        channel: usize,
        norm: Option<ScaleShift<'_>>,
    ) -> V {
        // Four sums, which do not wait for each other.
        let mut sums = [V::zero(); 4];
        // SAFETY: the caller's contract.
        unsafe {
            let norm = Self::norm::<V>(norm, channel);
            for i in 0..N {
                for j in 0..N {
                    let value = self.pixel::<V>((i, j), channel, norm);
                    let sum = &mut sums[(i * N + j) % 4];
                    *sum = value.mul_add(value, *sum);
                }
            }
        }
        sums[0].add(sums[1]).add(sums[2].add(sums[3]))
    }

    /// A vector of channels of each pixel, transformed along columns: its rows remain to be.
    /// Integers come of these times `times`, which is not negative.
    ///
    /// # Safety
    /// A vector from `channel` must lie within the stored channels.
    #[inline(always)]
    pub(super) unsafe fn columns<L: Line<N, R>, V: Vector, const R: usize>(
        &self,
        channel: usize,
        norm: Option<ScaleShift<'_>>,
        times: V,
        half: &mut Half<V, R, N>,
    ) {
        // SAFETY: the caller's contract.
        let mut norm = unsafe { Self::norm::<V>(norm, channel) };
        let through = norm.is_some();
        if fixed::<E>()
            && let Some((scale, shift)) = norm
        {
            norm = Some((scale.mul(times), shift.mul(times)));
        }
        for j in 0..N {
            let mut column = [V::zero(); N];
            for (i, value) in column.iter_mut().enumerate() {
                // SAFETY: the caller's contract.
                *value = unsafe { self.pixel::<V>((i, j), channel, norm) };
                if fixed::<E>() && !through {
                    *value = value.mul(times);
                }
            }
            half.set(j, L::line(&column));
        }
    }
}

/// What lies outside an image: zeros in any storage element, for every channel.
#[inline(always)]
fn zeros<E>() -> *const E {
    ZEROS.as_ptr().cast::<E>()
}
