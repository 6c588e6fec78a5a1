//! The inverse transform: from products back to pixels.

use std::ops::Range;

use super::{
    grid::{BLOCK, Grid, Planes},
    quantise::is_int16,
    transform::{HalfTransformed, Transform1d},
};
use crate::{chunks::DisjointChunks, conv::epilogue::TypedEpilogue, isa::Vector, scalar::Scalar};

/// The inverse transform of a block of tiles, of some output channels: `N` x `N` products of each
/// tile become `M` x `M` pixels.
pub(super) struct InverseTransform<'a, T> {
    pub(super) m: &'a [f32],
    pub(super) planes: Planes,
    /// Dequantisation scales of the tiles, where products are of integers.
    pub(super) dequant: *const f32,
    pub(super) grid: &'a Grid,
    pub(super) y: &'a DisjointChunks<'a, T>,
    pub(super) epilogue: &'a TypedEpilogue<'a, T>,
}

impl<T: Scalar> InverseTransform<'_, T> {
    /// Transforms by `L` along both sides, applies the epilogue and stores.
    ///
    /// # Safety
    /// The planes must hold the tiles and channels, `y` and what the epilogue reads all images;
    /// nobody else may write these channels of these tiles.
    #[inline(always)]
    pub(super) unsafe fn store<L: Transform1d<N, M>, V: Vector, const N: usize, const M: usize>(
        &self,
        tiles: Range<usize>,
        channels: Range<usize>,
    ) {
        let InverseTransform { m, planes, dequant, grid, y: outputs, epilogue } = *self;
        let stride = planes.stride();
        assert!(m.len() >= planes.len(N * N));
        for (at, tile) in tiles.enumerate() {
            let (image, y, x) = grid.place(tile);
            let (rows, columns) = (M.min(grid.height - y), M.min(grid.width - x));
            let corner = image * grid.image_len() + (y * grid.width + x) * grid.channels;
            let mut dequant_scale = V::zero();
            if is_int16::<T>() {
                // SAFETY: there is one for every tile.
                dequant_scale = V::splat(unsafe { *dequant.add(at) });
            }
            for channel in channels.clone().step_by(V::LANES) {
                let own = channel - channels.start;
                let from = planes.at(own / BLOCK, at) + own % BLOCK;
                let mut half = HalfTransformed::<V, M, N>::new();
                for j in 0..N {
                    let mut column = [V::zero(); N];
                    for (i, value) in column.iter_mut().enumerate() {
                        // SAFETY: within the planes.
                        *value = unsafe { V::load(m.as_ptr().add((i * N + j) * stride + from)) };
                    }
                    half.set(j, L::apply(&column));
                }
                // SAFETY: the caller's contract.
                let bias = unsafe { epilogue.bias::<V>(channel) };
                for i in 0..rows {
                    // SAFETY: set above; there are at most M rows.
                    let line = L::apply(unsafe { half.row(i) });
                    for (j, mut sum) in line.into_iter().enumerate().take(columns) {
                        let to = corner + (i * grid.width + j) * grid.channels + channel;
                        if is_int16::<T>() {
                            sum = sum.mul_add(dequant_scale, bias.unwrap_or(V::zero()));
                        } else if let Some(bias) = bias {
                            sum = sum.add(bias);
                        }
                        // SAFETY: a pixel of the image.
                        unsafe { epilogue.store(sum, to, outputs.as_mut_ptr()) };
                    }
                }
            }
        }
    }
}
