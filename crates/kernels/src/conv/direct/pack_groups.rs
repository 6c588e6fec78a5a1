//! Packs weights of convolutions with groups, with zeros where an output does not read a value of
//! its panel.

use std::marker::PhantomData;

use super::panels::Panels;
use crate::{
    conv::{
        pack::Runs,
        shape::{ConvShape, Source},
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// Lanes of a panel, at most.
const MOST: usize = 32;

/// Packs `[out][window][in / groups]` weights for the forward pass, each output channel times its
/// scale, as `[panel][tap][step][lane]`.
pub(super) fn forward<X: Scalar>(
    cpu: &Cpu,
    (s, source): (&ConvShape, Source),
    (panels, runs): (Panels, Runs<'_>),
    weights: &[f32],
    output_scales: Option<&[f32]>,
    packed: &mut [f32],
) {
    let inputs = s.group_inputs();
    let lane = |output: usize| Lane {
        base: output * s.kernel * s.kernel * inputs,
        first: output / s.group_outputs() * inputs,
        count: if output < s.out_channels { inputs } else { 0 },
        scale: output_scales.and_then(|scales| scales.get(output)).copied().unwrap_or(1.0),
    };
    // In dense images a tap is a row of the window.
    let row = (source == Source::Image).then_some((s.kernel, s.in_channels));
    pack::<X>(cpu, (panels, runs), weights, lane, [inputs, 1], row, packed);
}

/// Packs the same weights for one table of the gradient of the input.
pub(super) fn backward_data<X: Scalar>(
    cpu: &Cpu,
    s: &ConvShape,
    (panels, runs): (Panels, Runs<'_>),
    weights: &[f32],
    packed: &mut [f32],
) {
    let (inputs, outputs) = (s.group_inputs(), s.group_outputs());
    let each = s.kernel * s.kernel * inputs;
    let lane = |input: usize| {
        let first = input / inputs * outputs;
        let count = if input < s.in_channels { outputs } else { 0 };
        Lane { base: first * each + input % inputs, first, count, scale: 1.0 }
    };
    pack::<X>(cpu, (panels, runs), weights, lane, [inputs, each], None, packed);
}

/// The weights of an output of the sum.
#[derive(Clone, Copy, Default)]
struct Lane {
    /// Where that of the first value of its group is.
    base: usize,
    /// The values that it reads: the first, and their number.
    first: usize,
    count: usize,
    scale: f32,
}

/// `lane` has the weights of an output; `strides` are those of the window and of the values.
fn pack<X: Scalar>(
    cpu: &Cpu,
    (panels, runs): (Panels, Runs<'_>),
    weights: &[f32],
    lane: impl Fn(usize) -> Lane,
    strides: [usize; 2],
    row: Option<(usize, usize)>,
    packed: &mut [f32],
) {
    let (windows, scalar) = (runs.windows, PhantomData::<X>);
    cpu.isa().dispatch(Pack { panels, windows, weights, lane, strides, row, packed, scalar });
}

struct Pack<'a, X, F> {
    panels: Panels,
    windows: &'a [usize],
    weights: &'a [f32],
    lane: F,
    strides: [usize; 2],
    /// Columns of a window and channels, where a tap is a row of the window.
    row: Option<(usize, usize)>,
    packed: &'a mut [f32],
    scalar: PhantomData<X>,
}

impl<X: Scalar, F: Fn(usize) -> Lane> Kernel for Pack<'_, X, F> {
    type Output = ();
    const PAIRS: bool = X::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (panels, [window_stride, stride]) = (self.panels, self.strides);
        let mut words = self.packed.chunks_exact_mut(V::LANES);
        for panel in panels.all() {
            let mut lanes = [Lane::default(); MOST];
            let lanes = &mut lanes[..panel.vectors * V::LANES];
            for (lane, to) in lanes.iter_mut().enumerate() {
                *to = (self.lane)(panel.first + lane);
            }
            for &tap in self.windows {
                for step in 0..panels.steps(panel) {
                    for (vector, lanes) in lanes.chunks_exact(V::LANES).enumerate() {
                        let mut rows = [[0.0; 16]; 2];
                        for (i, row) in rows.iter_mut().enumerate().take(panels.word()) {
                            for (at, (lane, to)) in lanes.iter().zip(row).enumerate() {
                                let output = panel.first + vector * V::LANES + at;
                                let value = panels.value(panel, output, step) + i;
                                let (window, value) = match self.row {
                                    Some((columns, channels)) => {
                                        (tap * columns + value / channels, value % channels)
                                    }
                                    None => (tap, value),
                                };
                                let value = value.wrapping_sub(lane.first);
                                if value < lane.count {
                                    let from = lane.base + window * window_stride + value * stride;
                                    *to = self.weights[from] * lane.scale;
                                }
                            }
                        }
                        if panels.block.is_some() {
                            // Rounded, but in 32 bits as the inputs will be.
                            rows[0] = rows[0].map(|x| X::from_f32(x).to_f32());
                        }
                        let [low, high] = rows.map(|row| V::read(&row));
                        let word = if panels.block.is_some() { low } else { X::pack(low, high) };
                        word.write(words.next().expect("room for every panel"));
                    }
                }
            }
        }
    }
}
