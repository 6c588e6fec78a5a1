//! Images cut into tiles, and their transforms into planes.

use std::ops::Range;

use super::{
    product::{self, Energy, fixed},
    transform::{Factor, Half, Line},
};
use crate::{
    conv::{Activation, ScaleShift},
    element::Element,
    isa::Vector,
    layout::CHANNEL_BLOCK,
};

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
    unsafe fn columns<L: Line<N, R>, V: Vector, const R: usize>(
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

/// Transforms input tiles into planes: `L` along both sides of patches of `S` x `S` pixels. Words
/// of integers hold two channels, each times its `balance`, and what they are worth follows the
/// planes, for each tile.
///
/// # Safety
/// `out` must hold the planes and a word for each tile, and nobody else use the places of these tiles.
#[inline(always)]
pub(super) unsafe fn input_planes<
    L: Factor<S, N>,
    E: Element,
    V: Vector,
    const S: usize,
    const N: usize,
>(
    grid: &Grid,
    images: Activation<'_, E>,
    tiles: Range<usize>,
    border: usize,
    balance: &[f32],
    planes: &Planes,
    out: *mut f32,
    first: usize,
) {
    assert!(!fixed::<E>() || balance.len() >= grid.channels);
    assert!(planes.blocks * BLOCK * E::PACK == grid.channels);
    assert!(first + tiles.len() <= planes.tiles && grid.channels <= MAX_CHANNELS);
    let stride = planes.stride();
    for (at, tile) in tiles.enumerate() {
        let patch = Patch::<E, S>::new(grid, images.values, tile, border);
        let mut times = V::zero();
        if fixed::<E>() {
            let mut energy = Energy::<V>::zero();
            for channel in (0..grid.channels).step_by(V::LANES) {
                // SAFETY: within the stored channels.
                unsafe {
                    let squares = patch.squares::<V>(channel, images.norm);
                    let balance = V::load(balance.as_ptr().add(channel));
                    energy.add(squares.mul(balance.mul(balance)));
                }
            }
            let (time, unit) = energy.scale(product::TILE);
            times = V::splat(time);
            // SAFETY: there is a word for each tile.
            unsafe { *out.add(planes.len(N * N) + first + at) = unit };
        }
        for channel in (0..grid.channels).step_by(V::LANES * E::PACK) {
            let word = channel / E::PACK;
            let start = planes.at(word / BLOCK, first + at) + word % BLOCK;
            // SAFETY: within the stored channels; `out` holds all planes.
            unsafe {
                let (mut half, mut other) = (Half::new(), Half::new());
                if fixed::<E>() {
                    let next = channel + V::LANES;
                    let balance = balance.as_ptr().add(channel);
                    let now = times.mul(V::load(balance));
                    patch.columns::<L, V, N>(channel, images.norm, now, &mut half);
                    let then = times.mul(V::load(balance.add(V::LANES)));
                    patch.columns::<L, V, N>(next, images.norm, then, &mut other);
                } else {
                    patch.columns::<L, V, N>(channel, images.norm, times, &mut half);
                }
                for i in 0..N {
                    let mut line = L::line(half.row(i));
                    if fixed::<E>() {
                        pair::<L, V, S, N>(&mut line, &L::line(other.row(i)), i);
                    }
                    for (j, value) in line.into_iter().enumerate() {
                        value.store(out.add((i * N + j) * stride + start));
                    }
                }
            }
        }
    }
}

/// Row `i` of two values' elements to one of integers.
#[inline(always)]
fn pair<L: Factor<S, N>, V: Vector, const S: usize, const N: usize>(
    line: &mut [V; N],
    other: &[V; N],
    i: usize,
) {
    for (j, (value, other)) in line.iter_mut().zip(other).enumerate() {
        let times = V::splat(1.0 / (L::NORMS[i] * L::NORMS[j]));
        *value = V::pair_i16(*value, *other, times);
    }
}

/// Scales of some channels of patches of `S` x `S` pixels, for integers whose norm over the tiles is
/// to be `limit`: `[stored channel]` of what values are multiplied with, and of what integers are
/// worth.
///
/// # Safety
/// Nobody else may use the places of these channels.
#[inline(always)]
pub(super) unsafe fn gradient_scales<E: Element, V: Vector, const S: usize>(
    grid: &Grid,
    images: Activation<'_, E>,
    tiles: Range<usize>,
    border: usize,
    channels: Range<usize>,
    limit: f32,
    (times, units): (*mut f32, *mut f32),
) {
    assert!(channels.end <= grid.channels && channels.len() <= GROUP);
    let mut energies = [Energy::<V>::zero(); GROUP / 4];
    for tile in tiles {
        let patch = Patch::<E, S>::new(grid, images.values, tile, border);
        for (i, channel) in channels.clone().step_by(V::LANES).enumerate() {
            // SAFETY: within the stored channels.
            energies[i].add(unsafe { patch.squares::<V>(channel, images.norm) });
        }
    }
    for (i, channel) in channels.step_by(V::LANES).enumerate() {
        // SAFETY: within the stored channels.
        unsafe { energies[i].scales(limit, times.add(channel), units.add(channel)) };
    }
}

/// Channels of [`gradient_scales`], at most.
pub(super) const GROUP: usize = 64;

/// Transforms tiles into planes whose product over tiles is a gradient of weights: `L` along both
/// sides of patches of `S` x `S` pixels. Words of integers hold a pair of tiles, so `planes.tiles`
/// counts pairs; a tile past the last is zero. `times` are those of [`gradient_scales`].
///
/// # Safety
/// `out` must hold the planes, and nobody else use the places of these tiles.
#[inline(always)]
pub(super) unsafe fn gradient_planes<
    L: Factor<S, N>,
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
    times: &[f32],
    out: *mut f32,
    first: usize,
) {
    assert!(planes.blocks * BLOCK == grid.channels);
    assert!(first + tiles.len().div_ceil(E::PACK) <= planes.tiles);
    assert!(grid.channels <= MAX_CHANNELS);
    assert!(!fixed::<E>() || times.len() >= grid.channels);
    let stride = planes.stride();
    for (at, tile) in tiles.clone().step_by(E::PACK).enumerate() {
        let patch = Patch::<E, S>::new(grid, images.values, tile, border);
        let mut next = None;
        if fixed::<E>() && tile + 1 < tiles.end {
            next = Some(Patch::<E, S>::new(grid, images.values, tile + 1, border));
        }
        for channel in (0..grid.channels).step_by(V::LANES) {
            let start = planes.at(channel / BLOCK, first + at) + channel % BLOCK;
            // SAFETY: within the stored channels; `out` holds all planes.
            unsafe {
                let (mut half, mut other) = (Half::new(), Half::new());
                let mut scale = V::zero();
                if fixed::<E>() {
                    scale = V::load(times.as_ptr().add(channel));
                }
                patch.columns::<L, V, N>(channel, images.norm, scale, &mut half);
                if let Some(next) = &next {
                    next.columns::<L, V, N>(channel, images.norm, scale, &mut other);
                } else if fixed::<E>() {
                    for j in 0..S {
                        other.set(j, [V::zero(); N]);
                    }
                }
                for i in 0..N {
                    let mut line = L::line(half.row(i));
                    if fixed::<E>() {
                        pair::<L, V, S, N>(&mut line, &L::line(other.row(i)), i);
                    }
                    for (j, value) in line.into_iter().enumerate() {
                        value.store(out.add((i * N + j) * stride + start));
                    }
                }
            }
        }
    }
}
