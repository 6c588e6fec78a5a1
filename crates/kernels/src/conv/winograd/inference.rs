//! Integers in inference, where weights are transformed once, before any image is known.
//!
//! Channel equalisation then follows from the weights alone, and the channels of an image may be
//! too uneven for it. Each image is measured, and those that are too uneven take the fallback in
//! f32. So the result of an image never depends on other images.

use std::ops::Range;

use super::{
    equalisation::Equalisation,
    grid::BLOCK,
    quantise::{MAX_INT16_CHANNELS, power_of_two, sum_of_lanes},
    sums_of_squares::{Bands, USABLE},
    weights::RawWeights,
};
use crate::{
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// What is stored next to transformed weights, to measure images and for the fallback: sums of
/// squares of weights, by output and by pair of channels, and the weights themselves, times the
/// output's scale.
#[derive(Clone, Copy)]
pub(super) struct FallbackData<'a> {
    /// `sum_c |w_oc|^2 / b_c^2` for each output, up to a factor of the output's own.
    totals: &'a [f32],
    /// `|w_oc|^2`, `[output][input]`, up to the same factors.
    squares: &'a [f32],
    pub(super) weights: &'a [f32],
}

/// The largest `R^2` of an image that is computed in integers, where
/// `R^2 = (sum_c b_c^2 |x_c|^2) (sum_c |w_oc|^2 / b_c^2) / (sum_c |x_c|^2 |w_oc|^2)`.
///
/// Rounding adds an error of `1.1e-4 R` relative to an output channel's norm, if rounding errors
/// are independent (ARCHITECTURE.md derives it). At this bound that is 1/140.
const MAX_UNEVENNESS: f32 = 64.0 * 64.0;

/// Outputs of an item of work.
const GROUP: usize = 64;

impl FallbackData<'_> {
    /// Words of the data.
    pub(super) fn len(inputs: usize, outputs: usize) -> usize {
        outputs * (1 + 10 * inputs)
    }

    /// The data that [`FallbackData::store`] has stored.
    pub(super) fn read(kept: &[f32], inputs: usize, outputs: usize) -> FallbackData<'_> {
        let (totals, rest) = kept.split_at(outputs);
        let (squares, weights) = rest.split_at(outputs * inputs);
        FallbackData { totals, squares, weights: &weights[..9 * outputs * inputs] }
    }

    /// Stores the data of these weights.
    pub(super) fn store(
        cpu: &Cpu,
        raw: RawWeights<'_>,
        equalisation: Equalisation<'_>,
        to: &mut [f32],
    ) {
        let inputs = raw.in_channels;
        let outputs = raw.weights.len() / (9 * inputs);
        let (totals, rest) = to.split_at_mut(outputs);
        let (squares, weights) = rest.split_at_mut(outputs * inputs);
        let rows = (DisjointChunks::new(totals, 1), DisjointChunks::new(squares, inputs));
        let rows = (rows, DisjointChunks::new(weights, 9 * inputs));
        cpu.pool().run_chunks(outputs, rows, |output, ((total, squares), weights)| {
            let factor = raw.output_scales.map_or(1.0, |scales| scales[output]);
            let from = &raw.weights[9 * inputs * output..][..9 * inputs];
            cpu.isa().dispatch(StoreOutput { from, factor, equalisation, total, squares, weights });
        });
    }

    /// Words of scratch of [`FallbackData::uneven`].
    pub(super) fn scratch_len(bands: usize, inputs: usize, images: usize, outputs: usize) -> usize {
        bands * inputs + images * outputs.div_ceil(GROUP)
    }

    /// Finds the images that are too uneven for the equalisation of these weights.
    pub(super) fn uneven<'s, T: Scalar>(
        &self,
        cpu: &Cpu,
        bands: &Bands<'_, T>,
        equalisation: &[f32],
        scratch: &'s mut [f32],
    ) -> UnevenImages<'s> {
        let (inputs, outputs) = (bands.grid.channels, self.totals.len());
        let groups = outputs.div_ceil(GROUP);
        let (flags, input_squares) = scratch.split_at_mut(bands.images * groups);
        let input_squares = &mut input_squares[..bands.count() * inputs];
        bands.of_every_band(cpu, input_squares);
        let each = bands.grid.bands() * inputs;
        cpu.pool().run_chunks(flags.len(), DisjointChunks::new(flags, 1), |item, flag| {
            let (image, group) = (item / groups, item % groups);
            let outputs = group * GROUP..((group + 1) * GROUP).min(outputs);
            let input_squares = &input_squares[image * each..][..each];
            let check = CheckEvenness {
                kept: *self,
                equalisation: &equalisation[..inputs],
                input_squares,
                outputs,
            };
            flag[0] = f32::from(u8::from(cpu.isa().dispatch(check)));
        });
        UnevenImages { flags, groups }
    }
}

/// The images of a batch that are too uneven for integers.
pub(super) struct UnevenImages<'a> {
    flags: &'a [f32],
    groups: usize,
}

impl UnevenImages<'_> {
    fn contains(&self, image: usize) -> bool {
        self.flags[image * self.groups..][..self.groups].contains(&1.0)
    }

    /// Runs of consecutive images that are alike, each with whether they are too uneven.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Range<usize>, bool)> {
        let images = self.flags.len() / self.groups;
        let mut start = 0;
        std::iter::from_fn(move || {
            let first = start;
            let uneven = (first < images).then(|| self.contains(first))?;
            start = (first..images).find(|&image| self.contains(image) != uneven).unwrap_or(images);
            Some((first..start, uneven))
        })
    }
}

/// Stores the data of one output.
struct StoreOutput<'a> {
    from: &'a [f32],
    factor: f32,
    equalisation: Equalisation<'a>,
    total: &'a mut [f32],
    squares: &'a mut [f32],
    weights: &'a mut [f32],
}

impl Kernel for StoreOutput<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let StoreOutput { from, factor, equalisation, total, squares, weights } = self;
        let inputs = squares.len();
        assert!(inputs.is_multiple_of(BLOCK));
        let largest = from.iter().fold(0.0f32, |most, w| most.max((w * factor).abs()));
        // Only ratios count. Squares of weights near 1 neither underflow nor overflow.
        let power = power_of_two(largest).clamp(f32::MIN_POSITIVE, f32::MAX / 4.0);
        let mut all = V::zero();
        for channel in (0..inputs).step_by(V::LANES) {
            let mut sum = V::zero();
            for window in 0..9 {
                let at = window * inputs + channel;
                let w = V::read(&from[at..]).mul(V::splat(factor));
                w.write(&mut weights[at..]);
                let w = w.mul(V::splat(1.0 / power));
                sum = w.mul_add(w, sum);
            }
            sum.write(&mut squares[channel..]);
            let factor = V::read(&equalisation.weights[channel..]);
            all = sum.mul(factor).mul_add(factor, all);
        }
        total[0] = sum_of_lanes(all);
    }
}

/// Whether an image is too uneven for some outputs.
struct CheckEvenness<'a> {
    kept: FallbackData<'a>,
    /// The factors of tiles.
    equalisation: &'a [f32],
    /// Sums of squares of the image: `[band][channel]`.
    input_squares: &'a [f32],
    outputs: Range<usize>,
}

impl Kernel for CheckEvenness<'_> {
    type Output = bool;
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) -> bool {
        let CheckEvenness { kept, equalisation, input_squares, outputs } = self;
        let inputs = equalisation.len();
        let mut channels = [0.0; MAX_INT16_CHANNELS];
        let mut all = V::zero();
        for channel in (0..inputs).step_by(V::LANES) {
            let mut sum = V::zero();
            for band in input_squares.chunks_exact(inputs) {
                sum = sum.add(V::read(&band[channel..]));
            }
            sum.write(&mut channels[channel..]);
            let factor = V::read(&equalisation[channel..]);
            all = sum.mul(factor).mul_add(factor, all);
        }
        let all = sum_of_lanes(all);
        if !USABLE.contains(&all) {
            return true;
        }
        for output in outputs {
            let squares = &kept.squares[output * inputs..][..inputs];
            let mut sum = [V::zero(); 2];
            for channel in (0..inputs).step_by(2 * V::LANES) {
                for (i, sum) in sum.iter_mut().enumerate() {
                    let at = channel + i * V::LANES;
                    *sum = V::read(&channels[at..]).mul_add(V::read(&squares[at..]), *sum);
                }
            }
            let norm = sum_of_lanes(sum[0].add(sum[1]));
            // The norm is 0 where all that the output reads is 0. NaN is not even.
            let is_even = norm == 0.0
                || norm.is_finite() && all * kept.totals[output] <= MAX_UNEVENNESS * norm;
            if !is_even {
                return true;
            }
        }
        false
    }
}
