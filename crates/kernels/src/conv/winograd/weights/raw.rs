//! Raw weights, and how they are gathered for a transform.

use std::ops::Range;

use super::taps::Taps;
use crate::{
    conv::winograd::{grid::BLOCK, prefetch::Prefetcher, quantise::is_int16},
    isa::Vector,
    scalar::Scalar,
};

/// Weights `[out][3][3][in]` before their transform. Forward, lanes are output channels, each times
/// its scale. Backward, the window is rotated by 180 degrees and lanes are input channels.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct RawWeights<'a> {
    pub(in crate::conv::winograd) weights: &'a [f32],
    pub(in crate::conv::winograd) in_channels: usize,
    pub(in crate::conv::winograd) output_scales: Option<&'a [f32]>,
    pub(in crate::conv::winograd) backward: bool,
}

/// Words between a row's load and its prefetch: hardware prefetchers follow few streams.
const PREFETCH_DISTANCE: usize = 8 * BLOCK;

impl RawWeights<'_> {
    /// Gathers the weights of `width` outputs from `first` on, of some values of the depth, in
    /// `gathered`. Those of integers are multiplied by the factors of the equalisation.
    #[inline(always)]
    pub(in crate::conv::winograd) fn taps<T: Scalar, V: Vector>(
        &self,
        first: usize,
        width: usize,
        depth: Range<usize>,
        equalisation: &[f32],
        gathered: &mut [f32],
    ) -> Taps {
        let channels = self.in_channels;
        let (row, count) = (9 * channels, depth.len());
        assert!(gathered.len() >= 9 * count * width && width.is_multiple_of(V::LANES));
        let equalisation =
            if is_int16::<T>() { &equalisation[depth.clone()] } else { equalisation };
        if self.backward {
            assert!(first + width <= channels && self.weights.len() >= row * depth.end);
            let raw = RawWeights { weights: &self.weights[row * depth.start..], ..*self };
            let (panel, rows, to) = ((first, width), 0..9 * count, gathered.as_mut_ptr());
            // SAFETY: as checked.
            unsafe { raw.gather::<T, V>(panel, rows, equalisation, to) };
            return Taps::gathered(gathered.as_mut_ptr(), width);
        }
        let from = &self.weights[first * row..(first + width) * row];
        assert!(depth.end <= channels && count.is_multiple_of(V::LANES));
        assert!(self.output_scales.is_none_or(|f| f.len() >= first + width));
        // Along the rows, which hardware prefetchers follow.
        for lane in (0..width).step_by(V::LANES) {
            for window in 0..9 {
                for k in (0..count).step_by(V::LANES) {
                    let from = &from[lane * row + window * channels + depth.start + k..];
                    let from = &from[..(V::LANES - 1) * row + V::LANES];
                    let to = (window * count + k) * width + lane;
                    for row in from.chunks(row) {
                        V::prefetch(row.as_ptr().wrapping_add(PREFETCH_DISTANCE));
                    }
                    // SAFETY: LANES rows of LANES values, within both, as checked above.
                    unsafe {
                        let to = gathered.as_mut_ptr().add(to);
                        let mut scale = None;
                        if is_int16::<T>() {
                            scale = Some(V::read(&equalisation[k..]));
                        }
                        V::transpose(from.as_ptr(), row, to, width, scale);
                        if let Some(output_scales) = self.output_scales {
                            let factor = V::load(output_scales.as_ptr().add(first + lane));
                            for k in 0..V::LANES {
                                let to = to.add(k * width);
                                V::load(to).mul(factor).store(to);
                            }
                        }
                    }
                }
            }
        }
        Taps { start: gathered.as_mut_ptr(), window: (count * width) as isize, value: width }
    }

    /// Prefetches rows that [`RawWeights::gather`] will copy.
    pub(in crate::conv::winograd) fn prefetch_rows(
        &self,
        (first, width): (usize, usize),
        rows: Range<usize>,
    ) -> Prefetcher {
        let start = self.weights.as_ptr().wrapping_add(rows.start * self.in_channels + first);
        Prefetcher::rows(start, self.in_channels, width, rows.len())
    }

    /// Prefetches one of `parts` equal parts of the panel that [`RawWeights::taps`] will read,
    /// forward.
    pub(in crate::conv::winograd) fn prefetch_panel(
        &self,
        (first, width): (usize, usize),
        (part, parts): (usize, usize),
    ) -> Prefetcher {
        let row = 9 * self.in_channels;
        let panel = self.weights.get(first * row..(first + width) * row).unwrap_or_default();
        let part = panel.len() * part / parts..panel.len() * (part + 1) / parts;
        Prefetcher::values(&panel[part])
    }

    /// Copies some rows of the weights, of which each value of the depth has nine, to where
    /// [`Taps::gathered`] reads them. In place they are a large power of two apart, so that few of
    /// them fit in a cache. Those of integers are multiplied by the factors of the equalisation.
    ///
    /// # Safety
    /// The weights must have these rows, of at least `first + width` inputs, and `to` room for all.
    #[inline(always)]
    pub(in crate::conv::winograd) unsafe fn gather<T: Scalar, V: Vector>(
        &self,
        (first, width): (usize, usize),
        rows: Range<usize>,
        equalisation: &[f32],
        to: *mut f32,
    ) {
        for row in rows {
            let mut scale = V::zero();
            if is_int16::<T>() {
                scale = V::splat(equalisation[row / 9]);
            }
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract.
                unsafe {
                    let from = self.weights.as_ptr().add(row * self.in_channels + first + lane);
                    let mut weights = V::load(from);
                    if is_int16::<T>() {
                        weights = weights.mul(scale);
                    }
                    weights.store(to.add(row * width + lane));
                }
            }
        }
    }
}
