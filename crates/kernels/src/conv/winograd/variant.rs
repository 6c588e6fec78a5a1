//! The variants of Winograd's algorithm: with a stride of 1, and of 2.

use std::ops::Range;

use super::{
    grid::MAX_CHANNELS,
    quantise::{MAX_INT16_CHANNELS, is_int16},
    transform::{OperandTransform, strided, unit_stride},
};
use crate::{
    conv::shape::ConvShape,
    layout::CHANNEL_BLOCK,
    scalar::{Scalar, by_scalar},
    values::Dtype,
};

/// A variant: which transforms it takes, and of how many points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conv) enum Variant {
    /// F(4x4, 3x3).
    UnitStride,
    /// F(4x4, 3x3) with a stride of 2.
    Strided,
}

/// Pixels of images that are too small: of 2x2 pixels each reads 4 of 9 weights, and the direct method
/// skips the others, where a tile computes 16 pixels.
const SMALLEST: usize = 4;

impl Variant {
    /// Whether a shape has the window and stride of this variant, a number of channels that its matrix
    /// products take, and images that fill a part of a tile.
    pub(super) fn fits(self, s: &ConvShape, dtype: Dtype) -> bool {
        let stride = match self {
            Variant::UnitStride => 1,
            Variant::Strided => 2,
        };
        let (most, block) = by_scalar!(dtype, T => {
            let most = if is_int16::<T>() { MAX_INT16_CHANNELS } else { MAX_CHANNELS };
            (most, CHANNEL_BLOCK * T::PACK)
        });
        let whole = |channels: &usize| channels.is_multiple_of(block);
        let channels = [s.in_channels, s.out_channels];
        s.kernel == 3
            && s.stride == stride
            && s.padding == 1
            && s.height * s.width > SMALLEST
            && channels.iter().all(|c| whole(c) && (32..=most).contains(c))
    }

    /// Transform points along one side: of a window of weights, and of a tile.
    const fn points(self) -> (usize, usize) {
        match self {
            Variant::UnitStride => (6, 6),
            Variant::Strided => (6, 9),
        }
    }

    /// Coefficients of a transformed window of weights.
    pub(super) const fn weight_coefficients(self) -> usize {
        self.points().0 * self.points().0
    }

    /// Coefficients of a transformed tile.
    pub(super) const fn tile_coefficients(self) -> usize {
        self.points().1 * self.points().1
    }

    /// The coefficients of a tile that are multiplied with coefficient `weight` of the window.
    #[inline(always)]
    pub(super) fn tile_coefficients_for(self, weight: usize) -> impl Iterator<Item = usize> {
        let (window, tile) = self.points();
        // Points that the window lacks take its last.
        let shared = |i: usize| -> Range<usize> { i..if i + 1 < window { i + 1 } else { tile } };
        let columns = shared(weight % window);
        shared(weight / window).flat_map(move |i| columns.clone().map(move |j| i * tile + j))
    }

    /// Norms of the transforms at coefficient `weight` of the window: of the input's transform, and
    /// of that of the gradient of the output. No coefficient is larger than its norm times the
    /// Euclidean norm of the patch.
    pub(super) fn norms(self, weight: usize) -> (f32, f32) {
        let (window, _) = self.points();
        let (i, j) = (weight / window, weight % window);
        // Coefficients that share a weight have the same norm.
        match self {
            Variant::UnitStride => {
                let (v, w) =
                    (unit_stride::InputTransform::NORMS, unit_stride::OutputAdjoint::NORMS);
                (v[i] * v[j], w[i] * w[j])
            }
            Variant::Strided => {
                let (v, w) = (strided::InputTransform::NORMS, strided::OutputAdjoint::NORMS);
                (v[i] * v[j], w[i] * w[j])
            }
        }
    }
}
