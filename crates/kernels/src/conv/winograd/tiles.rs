//! Images cut into tiles, and their transforms into planes.

use std::ops::Range;

use super::transform::{Half, Line};
use crate::{
    conv::{Activation, ScaleShift},
    element::Element,
    isa::Vector,
    layout::CHANNEL_BLOCK,
};

/// What lies outside an image: zeros in any storage element, for every channel.
static ZEROS: [u64; MAX_CHANNELS / 2] = [0; MAX_CHANNELS / 2];
/// Stored channels, at most.
pub(super) const MAX_CHANNELS: usize = 4096;

/// Words of a block in a plane: one cache line.
pub(super) const BLOCK: usize = CHANNEL_BLOCK;

/// Images of one size, cut into tiles of `side` x `side` output pixels, numbered by image, row and
/// column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Stored channels.
    pub(super) channels: usize,
    pub(super) side: usize,
}

impl Grid {
    fn columns(&self) -> usize {
        self.width.div_ceil(self.side)
    }

    /// Tiles of an image.
    pub(super) fn tiles(&self) -> usize {
        self.height.div_ceil(self.side) * self.columns()
    }

    /// Stored values of an image.
    pub(super) fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Image, and first row and column, of a tile.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, tile) = (tile / self.tiles(), tile % self.tiles());
        (image, tile / self.columns() * self.side, tile % self.columns() * self.side)
    }
}

/// Elements of transformed tiles, `[element][block of channels][tile][BLOCK]`: a matrix product
/// for each element reads and writes whole lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    /// Blocks of [`BLOCK`] words.
    pub(super) blocks: usize,
    /// Tiles, or pairs of tiles.
    pub(super) tiles: usize,
}

impl Planes {
    /// Words from one element to the next: a line more than there is, so that elements do not
    /// share a set of the cache.
    pub(super) fn stride(&self) -> usize {
        (self.blocks * self.tiles + 1) * BLOCK
    }

    /// Words of `elements`.
    pub(super) fn len(&self, elements: usize) -> usize {
        elements * self.stride()
    }

    /// Where a tile's block starts in its element.
    #[inline(always)]
    pub(super) fn at(&self, block: usize, tile: usize) -> usize {
        (block * self.tiles + tile) * BLOCK
    }
}

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
        let zeros = ZEROS.as_ptr().cast::<E>();
        let mut pixels = [[zeros; N]; N];
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

    /// A vector of channels of each pixel, transformed along columns: its rows remain to be.
    ///
    /// # Safety
    /// A vector from `channel` must lie within the stored channels.
    #[inline(always)]
    unsafe fn columns<L: Line<N, R>, V: Vector, const R: usize>(
        &self,
        channel: usize,
        norm: Option<ScaleShift<'_>>,
        half: &mut Half<V, R, N>,
    ) {
        let base = self.pixels[0][0].wrapping_add(channel);
        let (mut scale, mut shift) = (V::zero(), V::zero());
        if let Some(n) = norm {
            // SAFETY: `Activation::check` covers the stored channels.
            unsafe {
                scale = V::load(n.scale.as_ptr().add(channel));
                shift = V::load(n.shift.as_ptr().add(channel));
            }
        }
        let zeros = ZEROS.as_ptr().cast::<E>();
        for j in 0..N {
            let mut column = [V::zero(); N];
            for (i, value) in column.iter_mut().enumerate() {
                // SAFETY: all pixels of the patch lie inside, or their pointers say where to read.
                *value = unsafe {
                    if self.inside {
                        E::load(base.add(i * self.row + j * self.column))
                    } else {
                        E::load(self.pixels[i][j].add(channel))
                    }
                };
                if norm.is_some() && (self.inside || self.pixels[i][j] != zeros) {
                    *value = value.mul_add(scale, shift).relu();
                }
            }
            half.set(j, L::line(&column));
        }
    }
}

/// Transforms input tiles into planes: `L` along both sides of patches of `S` x `S` pixels. Words
/// of bfloat16 hold two channels.
///
/// # Safety
/// `out` must hold the planes, and nobody else use the places of these tiles.
#[inline(always)]
pub(super) unsafe fn input_planes<
    L: Line<S, N>,
    E: Element,
    V: Vector,
    const S: usize,
    const N: usize,
>(
    grid: &Grid,
    images: Activation<'_, E>,
    tiles: Range<usize>,
    border: usize,
    planes: &Planes,
    out: *mut f32,
    first: usize,
) {
    assert!(planes.blocks * BLOCK * E::PACK == grid.channels);
    assert!(first + tiles.len() <= planes.tiles && grid.channels <= MAX_CHANNELS);
    let stride = planes.stride();
    for (at, tile) in tiles.enumerate() {
        let patch = Patch::<E, S>::new(grid, images.values, tile, border);
        for channel in (0..grid.channels).step_by(V::LANES * E::PACK) {
            let block = channel / (BLOCK * E::PACK);
            let start = planes.at(block, first + at);
            // SAFETY: within the stored channels; `out` holds all planes.
            unsafe {
                let (mut half, mut other) = (Half::new(), Half::new());
                patch.columns::<L, V, N>(channel, images.norm, &mut half);
                if E::PACK == 2 {
                    patch.columns::<L, V, N>(channel + V::LANES, images.norm, &mut other);
                }
                for i in 0..N {
                    let line = L::line(half.row(i));
                    let to = out.add(i * N * stride + start).cast::<E>();
                    let to = to.add(channel % (BLOCK * E::PACK));
                    if E::PACK == 2 {
                        let other = L::line(other.row(i));
                        for (j, value) in line.into_iter().enumerate() {
                            E::store_two(value, other[j], to.add(j * stride * E::PACK));
                        }
                    } else {
                        for (j, value) in line.into_iter().enumerate() {
                            E::store(value, to.add(j * stride * E::PACK));
                        }
                    }
                }
            }
        }
    }
}

/// Transforms tiles into planes whose product over tiles is a gradient of weights: `L` along both
/// sides of patches of `S` x `S` pixels. Words of bfloat16 hold a pair of tiles, so `planes.tiles`
/// counts pairs; a tile past the last is zero.
///
/// # Safety
/// `out` must hold the planes, and nobody else use the places of these tiles.
#[inline(always)]
pub(super) unsafe fn gradient_planes<
    L: Line<S, N>,
    E: Element,
    V: Vector,
    const S: usize,
    const N: usize,
>(
    grid: &Grid,
    images: Activation<'_, E>,
    tiles: Range<usize>,
    border: usize,
    planes: &Planes,
    out: *mut f32,
    first: usize,
) {
    assert!(planes.blocks * BLOCK == grid.channels);
    assert!(first + tiles.len().div_ceil(E::PACK) <= planes.tiles);
    assert!(grid.channels <= MAX_CHANNELS);
    let stride = planes.stride();
    for (at, tile) in tiles.clone().step_by(E::PACK).enumerate() {
        let patch = Patch::<E, S>::new(grid, images.values, tile, border);
        let second = E::PACK == 2 && tile + 1 < tiles.end;
        let next = if second { tile + 1 } else { tile };
        let next = Patch::<E, S>::new(grid, images.values, next, border);
        for channel in (0..grid.channels).step_by(V::LANES) {
            let start = planes.at(channel / BLOCK, first + at) + channel % BLOCK;
            // SAFETY: within the stored channels; `out` holds all planes.
            unsafe {
                let (mut half, mut other) = (Half::new(), Half::new());
                patch.columns::<L, V, N>(channel, images.norm, &mut half);
                if second {
                    next.columns::<L, V, N>(channel, images.norm, &mut other);
                } else if E::PACK == 2 {
                    (0..S).for_each(|j| other.set(j, [V::zero(); N]));
                }
                for i in 0..N {
                    let mut line = L::line(half.row(i));
                    if E::PACK == 2 {
                        for (value, other) in line.iter_mut().zip(L::line(other.row(i))) {
                            *value = V::pair_bf16(*value, other);
                        }
                    }
                    for (j, value) in line.into_iter().enumerate() {
                        value.store(out.add((i * N + j) * stride + start));
                    }
                }
            }
        }
    }
}
