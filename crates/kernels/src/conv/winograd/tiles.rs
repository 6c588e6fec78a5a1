//! Images cut into tiles, and their transforms into planes.

use std::ops::Range;

use super::{
    patch::Patch,
    product::{self, Energy, fixed},
    transform::{Factor, Half},
};
use crate::{conv::Activation, element::Element, isa::Vector, layout::CHANNEL_BLOCK};

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
