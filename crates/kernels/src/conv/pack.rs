//! Packs weights into panels, in words of `X`'s products: the right operand, B, of the matrix
//! products.

use std::marker::PhantomData;

use crate::{
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    layout::padded,
    scalar::Scalar,
};

/// Lanes of the widest vector.
const MOST: usize = 16;

/// The depth of a product: a run of consecutive values for each of some positions of the window.
#[derive(Clone, Copy)]
pub(super) struct Runs<'a> {
    pub(super) windows: &'a [usize],
    /// Values of a run.
    pub(super) run: usize,
}

impl Runs<'_> {
    fn depth(&self) -> usize {
        self.windows.len() * self.run
    }
}

/// Packs `[out][window][in]` weights for the forward pass, as
/// `[panel][tap][word of the run][lane]`, each output channel times its scale.
pub(super) fn forward<X: Scalar>(
    cpu: &Cpu,
    runs: Runs<'_>,
    weights: &[f32],
    output_scales: Option<&[f32]>,
    out_channels: usize,
    packed: &mut [f32],
) {
    let nr = 2 * cpu.isa().lanes();
    let stored = padded(out_channels);
    let panels = DisjointChunks::new(packed, nr * runs.depth() / X::PACK);
    cpu.pool().run_chunks(stored.div_ceil(nr), panels, |panel, packed| {
        let first = panel * nr;
        let width = nr.min(stored - first);
        let scalar = PhantomData::<X>;
        let panel = ForwardPanel {
            runs,
            weights,
            output_scales,
            out_channels,
            first,
            width,
            packed,
            scalar,
        };
        cpu.isa().dispatch(panel);
    });
}

/// A panel of forward weights.
struct ForwardPanel<'a, X> {
    runs: Runs<'a>,
    weights: &'a [f32],
    output_scales: Option<&'a [f32]>,
    out_channels: usize,
    /// First output channel, and their number as stored.
    first: usize,
    width: usize,
    packed: &'a mut [f32],
    scalar: PhantomData<X>,
}

impl<X: Scalar> Kernel for ForwardPanel<'_, X> {
    type Output = ();
    const PAIRS: bool = X::PACK > 1;

    /// Transposes blocks of `LANES` output channels by `LANES` values of a run.
    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (taps, run) = (self.runs.windows.len(), self.runs.run);
        let values = self.weights.len() / (self.out_channels * taps);
        let mut block = [0.0; MOST * MOST];
        for lane in (0..self.width).step_by(V::LANES) {
            let first = self.first + lane;
            let real = V::LANES.min(self.out_channels.saturating_sub(first));
            let output_scales = match self.output_scales {
                Some(output_scales) => load::<V>(&output_scales[first.min(self.out_channels)..]),
                None => V::splat(1.0),
            };
            for tap in 0..taps {
                for start in (0..run).step_by(V::LANES) {
                    let begin = start.min(values);
                    let count = V::LANES.min(values - begin);
                    let at = |channel| ((first + channel) * taps + tap) * values + begin;
                    if real == V::LANES && count == V::LANES {
                        let from = &self.weights[at(0)..at(real - 1) + count];
                        // SAFETY: the slice reaches from the first row's start to the last's end,
                        // and the block holds the largest transpose.
                        unsafe {
                            let to = block.as_mut_ptr();
                            V::transpose(from.as_ptr(), taps * values, to, V::LANES, None);
                        }
                    } else {
                        block.fill(0.0);
                        for channel in 0..real {
                            let from = &self.weights[at(channel)..][..count];
                            for (k, value) in from.iter().enumerate() {
                                block[k * V::LANES + channel] = *value;
                            }
                        }
                    }
                    for k in (0..V::LANES.min(run - start)).step_by(X::PACK) {
                        let row = |k: usize| load::<V>(&block[k * V::LANES..]).mul(output_scales);
                        // A run is whole words, so both rows are of the block.
                        let word = X::pack(row(k), row(k + X::PACK - 1));
                        let at = (tap * run + start + k) / X::PACK * self.width + lane;
                        word.write(&mut self.packed[at..]);
                    }
                }
            }
        }
    }
}

/// Packs `[out][window][in]` weights for the gradient of the input: for each of the `tables`,
/// `[panel of in][tap][word of out][lane]`.
pub(super) fn backward_data<'a, X: Scalar>(
    cpu: &Cpu,
    tables: impl Iterator<Item = Runs<'a>>,
    weights: &[f32],
    channels: (usize, usize),
    mut packed: &mut [f32],
) {
    let nr = 2 * cpu.isa().lanes();
    let stored = padded(channels.0);
    for runs in tables {
        let (here, rest) = packed.split_at_mut(runs.depth() / X::PACK * stored);
        packed = rest;
        let panels = DisjointChunks::new(here, nr * runs.depth() / X::PACK);
        cpu.pool().run_chunks(stored.div_ceil(nr), panels, |panel, packed| {
            let first = panel * nr;
            let width = nr.min(stored - first);
            let scalar = PhantomData::<X>;
            let panel = BackwardDataPanel { runs, weights, channels, first, width, packed, scalar };
            cpu.isa().dispatch(panel);
        });
    }
}

/// A panel of weights for the gradient of the input.
struct BackwardDataPanel<'a, X> {
    runs: Runs<'a>,
    weights: &'a [f32],
    /// Channels of the input and of the output.
    channels: (usize, usize),
    /// First input channel, and their number as stored.
    first: usize,
    width: usize,
    packed: &'a mut [f32],
    scalar: PhantomData<X>,
}

impl<X: Scalar> Kernel for BackwardDataPanel<'_, X> {
    type Output = ();
    const PAIRS: bool = X::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (in_channels, out_channels) = self.channels;
        let windows = self.weights.len() / (in_channels * out_channels);
        let (words, first) = (self.runs.run / X::PACK, self.first.min(in_channels));
        let taps = self.packed.chunks_exact_mut(words * self.width);
        for (packed, window) in taps.zip(self.runs.windows) {
            let row = |channel: usize| match channel < out_channels {
                true => {
                    &self.weights[(channel * windows + window) * in_channels..][first..in_channels]
                }
                false => &[],
            };
            for (word, to) in packed.chunks_exact_mut(self.width).enumerate() {
                let (low, high) = (row(word * X::PACK), row((word + 1) * X::PACK - 1));
                for (i, to) in to.chunks_exact_mut(V::LANES).enumerate() {
                    let load = |row: &[f32]| load::<V>(row.get(i * V::LANES..).unwrap_or_default());
                    X::pack(load(low), load(high)).write(to);
                }
            }
        }
    }
}

/// Loads the first values, with zeros after the last.
#[inline(always)]
fn load<V: Vector>(from: &[f32]) -> V {
    if from.len() >= V::LANES {
        return V::read(from);
    }
    let mut values = [0.0; MOST];
    values[..from.len()].copy_from_slice(from);
    V::read(&values)
}
