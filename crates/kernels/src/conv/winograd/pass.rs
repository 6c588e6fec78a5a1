//! The forward pass and the gradient of the input, with the choice between integers and f32.

use std::ops::Range;

use super::{
    equalisation::{Equalisation, equalise_by_inputs},
    grid::Grid,
    inference::FallbackData,
    quantise::is_int16,
    sums_of_squares::Bands,
    variant::Variant,
    weights::{self, Packed, RawWeights},
};
use crate::{
    conv::{epilogue::TypedEpilogue, operands::TypedInput},
    cpu::Cpu,
    scalar::Scalar,
};

/// The weights of a pass, the right operand of its products.
#[derive(Clone, Copy)]
pub(in crate::conv) enum PassWeights<'a> {
    /// Transformed, and followed by the factors of channel equalisation.
    Packed(&'a [f32]),
    /// Not yet transformed, with the factors of channel equalisation.
    Raw(RawWeights<'a>, Equalisation<'a>),
}

/// The forward pass of a variant, or its gradient of the input.
pub(in crate::conv) trait Pass {
    const VARIANT: Variant;

    fn input(&self) -> &Grid;

    fn output(&self) -> &Grid;

    /// The layout of transformed weights.
    fn packed(&self) -> Packed;

    /// Whether weights are transformed on the fly, panel by panel, right before their products.
    fn packs_on_the_fly(&self) -> bool;

    fn scratch_len(&self, cpu: &Cpu) -> usize;

    fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        call: Call<'_, T>,
        weights: PassWeights<'_>,
        scratch: &mut [f32],
    );

    /// Words of transformed weights.
    fn packed_len(&self) -> usize {
        if self.packs_on_the_fly() {
            0
        } else {
            self.packed().len(Self::VARIANT.weight_coefficients())
        }
    }
}

/// A pass, and its fallback for values that 16-bit integers do not represent well.
#[derive(Debug)]
pub(super) struct PassWithFallback<P> {
    pass: P,
    /// The fallback, over 32-bit floating point numbers, if `pass` is over integers.
    wide: Option<P>,
    /// In training each call transforms the weights itself, since they change as often as
    /// activations. Equalisation then follows from the activations of the call.
    train: bool,
    /// The largest batch.
    images: usize,
}

/// The operands of a call, except for weights and scratch.
pub(in crate::conv) struct Call<'a, T> {
    pub(super) batch: usize,
    pub(super) x: TypedInput<'a, T>,
    pub(super) y: &'a mut [T],
    pub(super) epilogue: TypedEpilogue<'a, T>,
}

impl<T: Scalar> Call<'_, T> {
    /// The part of some images. `input` and `output` are values per image.
    fn images(&mut self, images: Range<usize>, (input, output): (usize, usize)) -> Call<'_, T> {
        let part = images.start * output..images.end * output;
        let residual = self.epilogue.residual.map(|r| &r[part.clone()]);
        Call {
            batch: images.len(),
            x: TypedInput { values: &self.x.values[images.start * input..], ..self.x },
            y: &mut self.y[part],
            epilogue: TypedEpilogue { residual, ..self.epilogue },
        }
    }
}

impl<'a, T: Scalar> Call<'a, T> {
    /// The same call, with products in 32-bit floating point.
    fn widen(self) -> Call<'a, T::Wide> {
        let Call { batch, x, y, epilogue } = self;
        Call { batch, x: x.widen(), y: T::widen_mut(y), epilogue: epilogue.widen() }
    }
}

impl<P: Pass> PassWithFallback<P> {
    pub(super) fn new(pass: P, wide: Option<P>, train: bool, images: usize) -> Self {
        PassWithFallback { pass, wide, train, images }
    }

    pub(super) fn packed_len(&self) -> usize {
        let kept = match &self.wide {
            Some(_) => FallbackData::len(self.pass.input().channels, self.pass.packed().outputs),
            None => 0,
        };
        if self.packs_in_call() { 0 } else { self.pass.packed_len() + kept }
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let len = |pass: &P| pass.scratch_len(cpu);
        let Some(wide) = &self.wide else { return len(&self.pass) };
        let wide = wide.packed_len() + len(wide);
        let grid = self.pass.input();
        if self.train {
            let measure = Bands::<f32>::scratch_len(grid.channels);
            return (self.own_len() + len(&self.pass).max(measure)).max(wide);
        }
        let (bands, outputs) = (self.images * grid.bands(), self.pass.packed().outputs);
        let uneven = FallbackData::scratch_len(bands, grid.channels, self.images, outputs);
        uneven + len(&self.pass).max(wide)
    }

    /// Words of the equalisation, and of the weights that a call transforms.
    fn own_len(&self) -> usize {
        if self.pass.packs_on_the_fly() {
            2 * self.pass.input().channels
        } else {
            self.pass.packed_len()
        }
    }

    /// Whether a call transforms the weights itself.
    pub(super) fn packs_in_call(&self) -> bool {
        self.wide.is_some() && self.train || self.pass.packs_on_the_fly()
    }

    /// Transforms weights for many calls.
    pub(super) fn pack<T: Scalar>(&self, cpu: &Cpu, raw: RawWeights<'_>, packed: &mut [f32]) {
        if self.packs_in_call() {
            return;
        }
        let layout = self.pass.packed();
        let (packed, kept) = packed.split_at_mut(self.pass.packed_len());
        if is_int16::<T>() {
            let (sums, both) =
                packed.split_at_mut(layout.equalisation(P::VARIANT.weight_coefficients()));
            let depth = self.pass.input().channels;
            weights::equalise_by_weights(cpu, raw, &mut both[..2 * depth], sums);
            FallbackData::store(cpu, raw, Equalisation::of(both, depth), kept);
        }
        weights::pack::<T>(cpu, raw, layout, P::VARIANT, packed);
    }

    /// Runs the pass with weights that [`PassWithFallback::pack`] has transformed. Images that are
    /// too uneven for integers take the fallback.
    pub(super) fn run_packed<T: Scalar>(
        &self,
        cpu: &Cpu,
        mut call: Call<'_, T>,
        packed: &[f32],
        scratch: &mut [f32],
    ) {
        let Some(wide) = &self.wide else {
            return self.pass.run(cpu, call, PassWeights::Packed(packed), scratch);
        };
        let (layout, grid) = (self.pass.packed(), self.pass.input());
        let depth = grid.channels;
        let (packed, kept) = packed.split_at(self.pass.packed_len());
        let kept = FallbackData::read(kept, depth, layout.outputs);
        let bands = Bands::disjoint(grid, call.x, call.batch);
        let len = FallbackData::scratch_len(bands.count(), depth, call.batch, layout.outputs);
        let (measured, scratch) = scratch.split_at_mut(len);
        let equalisation = &packed[layout.equalisation(P::VARIANT.weight_coefficients())..];
        let uneven = kept.uneven(cpu, &bands, equalisation, measured);
        let lengths = (grid.image_len(), self.pass.output().image_len());
        for (images, _) in uneven.runs().filter(|(_, is_uneven)| !is_uneven) {
            self.pass.run(cpu, call.images(images, lengths), PassWeights::Packed(packed), scratch);
        }
        let mut uneven = uneven.runs().filter(|(_, is_uneven)| *is_uneven).peekable();
        if uneven.peek().is_some() {
            let weights = kept.weights;
            let raw =
                RawWeights { weights, in_channels: depth, output_scales: None, backward: false };
            let (weights, scratch) = transform::<P, T>(cpu, wide, raw, scratch);
            for (images, _) in uneven {
                wide.run(cpu, call.images(images, lengths).widen(), weights, scratch);
            }
        }
    }

    /// Runs the pass with weights that this call transforms, or the fallback where the sums of
    /// squares of the input do not fit in f32.
    pub(super) fn run_raw<T: Scalar>(
        &self,
        cpu: &Cpu,
        call: Call<'_, T>,
        raw: RawWeights<'_>,
        scratch: &mut [f32],
    ) {
        let Some(wide) = &self.wide else {
            return self.pass.run(cpu, call, PassWeights::Raw(raw, Equalisation::NONE), scratch);
        };
        let (own, rest) = scratch.split_at_mut(self.own_len());
        let (depth, layout) = (self.pass.input().channels, self.pass.packed());
        let packs_on_the_fly = self.pass.packs_on_the_fly();
        let at = if packs_on_the_fly {
            0
        } else {
            layout.equalisation(P::VARIANT.weight_coefficients())
        };
        let (squares, room) = rest.split_at_mut(depth);
        let bands = Bands::disjoint(self.pass.input(), call.x, call.batch);
        if !bands.of_batch(cpu, squares, room) {
            let (weights, scratch) = transform::<P, T>(cpu, wide, raw, scratch);
            return wide.run(cpu, call.widen(), weights, scratch);
        }
        equalise_by_inputs(squares, &mut own[at..at + 2 * depth]);
        let weights = if packs_on_the_fly {
            PassWeights::Raw(raw, Equalisation::of(own, depth))
        } else {
            weights::pack::<T>(cpu, raw, layout, P::VARIANT, own);
            PassWeights::Packed(own)
        };
        self.pass.run(cpu, call, weights, rest);
    }
}

/// The weights of the fallback, and the scratch that is left.
fn transform<'a, P: Pass, T: Scalar>(
    cpu: &Cpu,
    wide: &P,
    raw: RawWeights<'a>,
    scratch: &'a mut [f32],
) -> (PassWeights<'a>, &'a mut [f32]) {
    let (own, scratch) = scratch.split_at_mut(wide.packed_len());
    if wide.packs_on_the_fly() {
        return (PassWeights::Raw(raw, Equalisation::NONE), scratch);
    }
    weights::pack::<T::Wide>(cpu, raw, wide.packed(), P::VARIANT, own);
    (PassWeights::Packed(own), scratch)
}
