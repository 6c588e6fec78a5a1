//! Integers in inference: weights are transformed once, before any image is known.
//!
//! Equalisation of the depth then follow from the weights alone, and an image may be too uneven for them. Each
//! is measured, and those that are go another way: an image's result never depends on others.

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

/// What is kept beside transformed weights: for each output the sum of squares of its weights times
/// their factors, and those of the weights of each of its inputs, both times any one number; and the weights
/// themselves, times the output's factor.
#[derive(Clone, Copy)]
pub(super) struct FallbackData<'a> {
    totals: &'a [f32],
    squares: &'a [f32],
    pub(super) weights: &'a [f32],
}

/// Rounding adds `1.1e-4 R` of an output channel's norm, if roundings have nothing to do with each other
/// (ARCHITECTURE.md derives it), where `R^2` is `sum_c b_c^2 |x_c|^2` times `sum_c |w_oc|^2 / b_c^2` over `sum_c |x_c|^2 |w_oc|^2`, of an
/// image. This is the largest `R^2`: 1/140 of the norm.
const UNEVEN: f32 = 64.0 * 64.0;

/// Outputs of an item of work.
const GROUP: usize = 64;

impl FallbackData<'_> {
    /// Words of what is kept.
    pub(super) fn len(inputs: usize, outputs: usize) -> usize {
        outputs * (1 + 10 * inputs)
    }

    /// What [`FallbackData::keep`] has left.
    pub(super) fn of(kept: &[f32], inputs: usize, outputs: usize) -> FallbackData<'_> {
        let (totals, rest) = kept.split_at(outputs);
        let (squares, weights) = rest.split_at(outputs * inputs);
        FallbackData { totals, squares, weights: &weights[..9 * outputs * inputs] }
    }

    /// Keeps what belongs to these weights.
    pub(super) fn keep(
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
            cpu.isa().dispatch(Keep { from, factor, equalisation, total, squares, weights });
        });
    }

    /// Words of scratch of [`FallbackData::uneven`].
    pub(super) fn scratch_len(bands: usize, inputs: usize, images: usize, outputs: usize) -> usize {
        bands * inputs + images * outputs.div_ceil(GROUP)
    }

    /// Which images are too uneven for these weights.
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
        bands.each(cpu, input_squares);
        let each = bands.grid.bands() * inputs;
        cpu.pool().run_chunks(flags.len(), DisjointChunks::new(flags, 1), |item, flag| {
            let (image, group) = (item / groups, item % groups);
            let outputs = group * GROUP..((group + 1) * GROUP).min(outputs);
            let input_squares = &input_squares[image * each..][..each];
            let check = Check {
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

/// Which images of a batch are too uneven.
pub(super) struct UnevenImages<'a> {
    flags: &'a [f32],
    groups: usize,
}

impl UnevenImages<'_> {
    fn is(&self, image: usize) -> bool {
        self.flags[image * self.groups..][..self.groups].contains(&1.0)
    }

    /// Consecutive images that go one way, and whether they are too uneven.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Range<usize>, bool)> {
        let images = self.flags.len() / self.groups;
        let mut start = 0;
        std::iter::from_fn(move || {
            let first = start;
            let uneven = (first < images).then(|| self.is(first))?;
            start = (first..images).find(|&image| self.is(image) != uneven).unwrap_or(images);
            Some((first..start, uneven))
        })
    }
}

/// One output's.
struct Keep<'a> {
    from: &'a [f32],
    factor: f32,
    equalisation: Equalisation<'a>,
    total: &'a mut [f32],
    squares: &'a mut [f32],
    weights: &'a mut [f32],
}

impl Kernel for Keep<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let Keep { from, factor, equalisation, total, squares, weights } = self;
        let inputs = squares.len();
        assert!(inputs.is_multiple_of(BLOCK));
        let largest = from.iter().fold(0.0f32, |most, w| most.max((w * factor).abs()));
        // Only ratios count, and squares of weights near 1 are neither lost nor too large.
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
struct Check<'a> {
    kept: FallbackData<'a>,
    /// Of tiles.
    equalisation: &'a [f32],
    /// The image's: `[band][channel]`.
    input_squares: &'a [f32],
    outputs: Range<usize>,
}

impl Kernel for Check<'_> {
    type Output = bool;
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) -> bool {
        let Check { kept, equalisation, input_squares, outputs } = self;
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
            // Zero: all that the output reads is. Not a number is nothing of both.
            let is_even =
                norm == 0.0 || norm.is_finite() && all * kept.totals[output] <= UNEVEN * norm;
            if !is_even {
                return true;
            }
        }
        false
    }
}
