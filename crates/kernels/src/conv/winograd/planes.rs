//! The transforms of tiles into planes: they pack the left operand of the products.

use std::ops::Range;

use super::{
    grid::{BLOCK, Grid, MAX_CHANNELS, Planes},
    patch::{Patch, PatchSquares},
    quantise::{self, SumOfSquares, is_int16},
    transform::{HalfTransformed, OperandTransform},
};
use crate::{conv::operands::TypedInput, isa::Vector, scalar::Scalar};

/// Transforms input tiles into planes, by `L` along both sides of patches of `S` x `S` pixels. A
/// word of integers holds two channels, each times its factor of the equalisation. The
/// dequantisation scales follow the planes, one for each tile.
///
/// # Safety
/// `out` must hold the planes and a word for each tile, and nobody else may use the words of these
/// tiles.
#[inline(always)]
pub(super) unsafe fn input_planes<
    L: OperandTransform<S, N>,
    T: Scalar,
    V: Vector,
    const S: usize,
    const N: usize,
>(
    grid: &Grid,
    images: TypedInput<'_, T>,
    tiles: Range<usize>,
    border: usize,
    equalisation: &[f32],
    planes: &Planes,
    out: *mut f32,
    first: usize,
) {
    assert!(!is_int16::<T>() || equalisation.len() >= grid.channels);
    assert!(planes.blocks * BLOCK * T::PACK == grid.channels);
    assert!(first + tiles.len() <= planes.tiles && grid.channels <= MAX_CHANNELS);
    let mut patch_squares = PatchSquares::<S>::new(grid);
    for (at, tile) in tiles.enumerate() {
        let patch = Patch::<T, S>::new(grid, images.values, tile, border);
        let mut quant = V::zero();
        if is_int16::<T>() {
            let mut squares = SumOfSquares::<V>::zero();
            for channel in (0..grid.channels).step_by(2 * V::LANES) {
                // SAFETY: within the stored channels.
                unsafe {
                    let of = patch_squares.of::<T, V>(&patch, at > 0, channel, images.norm);
                    let equalisation =
                        quantise::load_f32_words::<T, V>(equalisation.as_ptr().add(channel));
                    squares.add(of[0].mul(equalisation[0].mul(equalisation[0])));
                    squares.add(of[1].mul(equalisation[1].mul(equalisation[1])));
                }
            }
            let (quant_scale, dequant_scale) = squares.scale(quantise::TILE_NORM);
            quant = V::splat(quant_scale);
            // SAFETY: there is a word for each tile.
            unsafe { *out.add(planes.len(N * N) + first + at) = dequant_scale };
        }
        for channel in (0..grid.channels).step_by(V::LANES * T::PACK) {
            let word = channel / T::PACK;
            // SAFETY: within the stored channels; `out` holds all planes.
            unsafe {
                let out = out.add(planes.at(word / BLOCK, first + at) + word % BLOCK);
                let mut halves = [HalfTransformed::new(), HalfTransformed::new()];
                patch.columns::<L, V, N>(channel, images.norm, &mut halves);
                let mut both = [quant; 2];
                if is_int16::<T>() {
                    let [low, high] =
                        quantise::load_f32_words::<T, V>(equalisation.as_ptr().add(channel));
                    both = [quant.mul(low), quant.mul(high)];
                }
                let halves = [&halves[0], &halves[1]];
                store_coefficients::<L, T, V, S, N>(halves, both, planes.stride(), out);
            }
        }
    }
}

/// The second half of a transform, along rows. Stores coefficients as words `stride` words apart; a
/// word of integers holds those of `low` and of `high`, each quantised by its scale.
///
/// # Safety
/// All columns must be set, those of `high` where words are integers; `out` must have room.
#[inline(always)]
unsafe fn store_coefficients<
    L: OperandTransform<S, N>,
    T: Scalar,
    V: Vector,
    const S: usize,
    const N: usize,
>(
    [low, high]: [&HalfTransformed<V, N, S>; 2],
    quant: [V; 2],
    stride: usize,
    out: *mut f32,
) {
    for i in 0..N {
        // SAFETY: the caller's contract.
        unsafe {
            let mut line = L::apply(low.row(i));
            if is_int16::<T>() {
                let other = L::apply(high.row(i));
                for (j, value) in line.iter_mut().enumerate() {
                    // A few distinct norms serve all coefficients.
                    let norm = V::splat(L::INVERSE_NORMS[i][j]);
                    let quant = [quant[0].mul(norm), quant[1].mul(norm)];
                    *value = V::pair_i16(*value, other[j], quant);
                }
            }
            for (j, value) in line.into_iter().enumerate() {
                value.store(out.add((i * N + j) * stride));
            }
        }
    }
}

/// Transforms tiles into planes whose products run over tiles, for the gradient of the weights: by
/// `L` along both sides of patches of `S` x `S` pixels. A word of integers holds two tiles, so
/// `planes.tiles` counts pairs; a tile past the last is zero. Channels are
/// [deinterleaved](quantise::channel_at). Each is multiplied by its quantisation scale and by the
/// scale of its band; `band_scales` starts with that of `band`.
///
/// # Safety
/// `out` must hold the planes, and nobody else may use the words of these tiles.
#[inline(always)]
pub(super) unsafe fn gradient_planes<
    L: OperandTransform<S, N>,
    T: Scalar,
    V: Vector,
    const S: usize,
    const N: usize,
>(
    grid: &Grid,
    images: TypedInput<'_, T>,
    tiles: Range<usize>,
    border: usize,
    planes: &Planes,
    (quant, band_scales, band): (&[f32], &[f32], usize),
    out: *mut f32,
    first: usize,
) {
    assert!(planes.blocks * BLOCK == grid.channels);
    assert!(grid.channels.is_multiple_of(V::LANES * T::PACK));
    assert!(first + tiles.len().div_ceil(T::PACK) <= planes.tiles);
    assert!(grid.channels <= MAX_CHANNELS);
    assert!(!is_int16::<T>() || quant.len() >= grid.channels);
    for (at, tile) in tiles.clone().step_by(T::PACK).enumerate() {
        let patch = Patch::<T, S>::new(grid, images.values, tile, border);
        let mut next = None;
        if is_int16::<T>() && tile + 1 < tiles.end {
            next = Some(Patch::<T, S>::new(grid, images.values, tile + 1, border));
        }
        let mut band_scale = V::zero();
        if is_int16::<T>() {
            band_scale = V::splat(band_scales[tile / grid.columns() - band]);
        }
        for channel in (0..grid.channels).step_by(V::LANES * T::PACK) {
            // SAFETY: within the stored channels; `out` holds all planes.
            unsafe {
                let mut halves = [HalfTransformed::new(), HalfTransformed::new()];
                patch.columns::<L, V, N>(channel, images.norm, &mut halves);
                let mut others = [HalfTransformed::new(), HalfTransformed::new()];
                if let Some(next) = &next {
                    next.columns::<L, V, N>(channel, images.norm, &mut others);
                } else if is_int16::<T>() {
                    for j in 0..S {
                        others[0].set(j, [V::zero(); N]);
                        others[1].set(j, [V::zero(); N]);
                    }
                }
                for k in 0..T::PACK {
                    let at_place = channel + k * V::LANES;
                    let mut scale = V::zero();
                    if is_int16::<T>() {
                        scale = V::load(quant.as_ptr().add(at_place)).mul(band_scale);
                    }
                    let block = planes.at(at_place / BLOCK, first + at) + at_place % BLOCK;
                    let (halves, out) = ([&halves[k], &others[k]], out.add(block));
                    store_coefficients::<L, T, V, S, N>(halves, [scale; 2], planes.stride(), out);
                }
            }
        }
    }
}
