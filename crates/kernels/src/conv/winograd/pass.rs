//! A direction whose products run over channels, and how they are taken.

use super::{
    energies::Bands,
    factors::{Factors, equalise},
    form::Form,
    grid::Grid,
    inference::Kept,
    product::fixed,
    weights::{self, Packed, Plain},
};
use crate::{
    conv::{epilogue::Finish, operands::Read},
    cpu::Cpu,
    element::Element,
};

/// The right side of the products.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// Transformed, factors of the depth included.
    Packed(&'a [f32]),
    /// As they are.
    Plain(Plain<'a>, Factors<'a>),
}

/// The forward pass of a form, or its gradient of the input, as elements of one kind have it.
pub(super) trait Pass {
    const FORM: Form;

    fn input(&self) -> &Grid;

    fn output(&self) -> &Grid;

    /// Where transformed weights lie.
    fn packed(&self) -> Packed;

    /// Whether weights are transformed on the way to the products.
    fn is_fresh(&self) -> bool;

    fn scratch_len(&self, cpu: &Cpu) -> usize;

    fn run<E: Element>(
        &self,
        cpu: &Cpu,
        call: Call<'_, E>,
        weights: Weights<'_>,
        scratch: &mut [f32],
    );

    /// Words of transformed weights.
    fn packed_len(&self) -> usize {
        if self.is_fresh() { 0 } else { self.packed().len(Self::FORM.weights()) }
    }
}

/// A pass, and the one that takes its place where values do not do for integers.
#[derive(Debug)]
pub(super) struct Products<P> {
    pass: P,
    /// Over 32-bit floating point numbers, if `pass` is over integers.
    wide: Option<P>,
    /// In training weights are as new as activations: a call transforms them itself, by factors that
    /// follow from both.
    train: bool,
    /// The largest batch.
    images: usize,
}

/// What a call computes, but for weights and scratch.
pub(super) struct Call<'a, E> {
    pub(super) batch: usize,
    pub(super) x: Read<'a, E>,
    pub(super) y: &'a mut [E],
    pub(super) epilogue: Finish<'a, E>,
}

impl<P: Pass> Products<P> {
    pub(super) fn new(pass: P, wide: Option<P>, train: bool, images: usize) -> Self {
        Products { pass, wide, train, images }
    }

    pub(super) fn packed_len(&self) -> usize {
        let kept = match &self.wide {
            Some(_) => Kept::len(self.pass.input().channels, self.pass.packed().outputs),
            None => 0,
        };
        if self.takes_plain() { 0 } else { self.pass.packed_len() + kept }
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
        let uneven = Kept::scratch_len(bands, grid.channels, self.images, outputs);
        uneven + len(&self.pass).max(wide)
    }

    /// Words of factors, and of weights that a call transforms.
    fn own_len(&self) -> usize {
        if self.pass.is_fresh() { 2 * self.pass.input().channels } else { self.pass.packed_len() }
    }

    /// Whether a call transforms the weights itself.
    pub(super) fn takes_plain(&self) -> bool {
        self.wide.is_some() && self.train || self.pass.is_fresh()
    }

    /// Transforms weights for many calls.
    pub(super) fn pack<E: Element>(&self, cpu: &Cpu, plain: Plain<'_>, packed: &mut [f32]) {
        if self.takes_plain() {
            return;
        }
        let layout = self.pass.packed();
        let (packed, kept) = packed.split_at_mut(self.pass.packed_len());
        if fixed::<E>() {
            let (sums, both) = packed.split_at_mut(layout.factors(P::FORM.weights()));
            let depth = self.pass.input().channels;
            weights::balance(cpu, plain, &mut both[..2 * depth], sums);
            Kept::keep(cpu, plain, Factors::of(both, depth), kept);
        }
        weights::pack::<E>(cpu, plain, layout, P::FORM, packed);
    }

    /// Products with weights as [`Products::pack`] has left them.
    pub(super) fn run_packed<E: Element>(
        &self,
        cpu: &Cpu,
        call: Call<'_, E>,
        packed: &[f32],
        scratch: &mut [f32],
    ) {
        let Some(wide) = &self.wide else {
            return self.pass.run(cpu, call, Weights::Packed(packed), scratch);
        };
        let (layout, grid) = (self.pass.packed(), self.pass.input());
        let depth = grid.channels;
        let (packed, kept) = packed.split_at(self.pass.packed_len());
        let kept = Kept::of(kept, depth, layout.outputs);
        let bands = Bands::apart(grid, call.x, call.batch);
        let len = Kept::scratch_len(bands.count(), depth, call.batch, layout.outputs);
        let (measured, scratch) = scratch.split_at_mut(len);
        let factors = &packed[layout.factors(P::FORM.weights())..];
        let uneven = kept.uneven(cpu, &bands, factors, measured);
        for (images, is_uneven) in uneven.runs() {
            let Call { x, .. } = call;
            let len = self.pass.output().image_len();
            let part = images.start * len..images.end * len;
            let residual = call.epilogue.residual.map(|r| &r[part.clone()]);
            let call = Call {
                batch: images.len(),
                x: Read { values: &x.values[images.start * grid.image_len()..], ..x },
                y: &mut call.y[part],
                epilogue: Finish { residual, ..call.epilogue },
            };
            if is_uneven {
                let plain = Plain {
                    weights: kept.weights,
                    in_channels: depth,
                    factors: None,
                    backward: false,
                };
                run_wide(cpu, wide, call, plain, scratch);
            } else {
                self.pass.run(cpu, call, Weights::Packed(packed), scratch);
            }
        }
    }

    /// Products with weights that the call transforms.
    pub(super) fn run_plain<E: Element>(
        &self,
        cpu: &Cpu,
        call: Call<'_, E>,
        plain: Plain<'_>,
        scratch: &mut [f32],
    ) {
        let Some(wide) = &self.wide else {
            return self.pass.run(cpu, call, Weights::Plain(plain, Factors::NONE), scratch);
        };
        let (own, rest) = scratch.split_at_mut(self.own_len());
        let (depth, layout) = (self.pass.input().channels, self.pass.packed());
        let is_fresh = self.pass.is_fresh();
        let at = if is_fresh { 0 } else { layout.factors(P::FORM.weights()) };
        let (energies, room) = rest.split_at_mut(depth);
        let bands = Bands::apart(self.pass.input(), call.x, call.batch);
        if !bands.all(cpu, energies, room) {
            return run_wide(cpu, wide, call, plain, scratch);
        }
        equalise(energies, &mut own[at..at + 2 * depth]);
        let weights = if is_fresh {
            Weights::Plain(plain, Factors::of(own, depth))
        } else {
            weights::pack::<E>(cpu, plain, layout, P::FORM, own);
            Weights::Packed(own)
        };
        self.pass.run(cpu, call, weights, rest);
    }
}

/// Products over 32-bit floating point numbers.
fn run_wide<P: Pass, E: Element>(
    cpu: &Cpu,
    wide: &P,
    call: Call<'_, E>,
    plain: Plain<'_>,
    scratch: &mut [f32],
) {
    let Call { batch, x, y, epilogue } = call;
    let call = Call { batch, x: x.widen(), y: E::widen_mut(y), epilogue: epilogue.widen() };
    let (own, scratch) = scratch.split_at_mut(wide.packed_len());
    let weights = if wide.is_fresh() {
        Weights::Plain(plain, Factors::NONE)
    } else {
        weights::pack::<E::Wide>(cpu, plain, wide.packed(), P::FORM, own);
        Weights::Packed(own)
    };
    wide.run(cpu, call, weights, scratch);
}
