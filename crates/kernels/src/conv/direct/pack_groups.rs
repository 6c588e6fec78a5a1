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
    let at = |output: usize, value: usize, window: usize| {
        let (window, input) = match source {
            Source::Activation => (window, value),
            // A tap is a row of the window.
            Source::Image => (window * s.kernel + value / s.in_channels, value % s.in_channels),
        };
        let scale = output_scales.and_then(|scales| scales.get(output)).unwrap_or(&1.0);
        weight(s, weights, output, input, window) * scale
    };
    let scalar = PhantomData::<X>;
    cpu.isa().dispatch(Pack { panels, windows: runs.windows, at, packed, scalar });
}

/// Packs the same weights for the gradient of the input: one of its tables.
pub(super) fn backward_data<X: Scalar>(
    cpu: &Cpu,
    s: &ConvShape,
    (panels, runs): (Panels, Runs<'_>),
    weights: &[f32],
    packed: &mut [f32],
) {
    let at = |input: usize, output: usize, window: usize| weight(s, weights, output, input, window);
    let scalar = PhantomData::<X>;
    cpu.isa().dispatch(Pack { panels, windows: runs.windows, at, packed, scalar });
}

/// A weight, or zero for channels of different groups and for those that pad.
fn weight(s: &ConvShape, weights: &[f32], output: usize, input: usize, window: usize) -> f32 {
    let (inputs, outputs) = (s.group_inputs(), s.group_outputs());
    if output >= s.out_channels || input >= s.in_channels || output / outputs != input / inputs {
        return 0.0;
    }
    weights[(output * s.kernel * s.kernel + window) * inputs + input % inputs]
}

struct Pack<'a, X, F> {
    panels: Panels,
    windows: &'a [usize],
    /// The weight of an output, a value of the tap, and a position of the window.
    at: F,
    packed: &'a mut [f32],
    scalar: PhantomData<X>,
}

impl<X: Scalar, F: Fn(usize, usize, usize) -> f32> Kernel for Pack<'_, X, F> {
    type Output = ();
    const PAIRS: bool = X::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let panels = self.panels;
        let mut words = self.packed.chunks_exact_mut(V::LANES);
        for panel in panels.all() {
            let steps = self
                .windows
                .iter()
                .flat_map(|&window| (0..panels.steps(panel)).map(move |step| (window, step)));
            for (window, step) in steps {
                for first in (panel.first..).step_by(V::LANES).take(panel.vectors) {
                    let mut rows = [[0.0; 16]; 2];
                    for (i, row) in rows.iter_mut().enumerate().take(panels.word()) {
                        for (lane, to) in row.iter_mut().enumerate().take(V::LANES) {
                            let output = first + lane;
                            let value = panels.value(panel, output, step) + i;
                            *to = (self.at)(output, value, window);
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
