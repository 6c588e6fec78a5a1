//! A direction whose products run over channels, and how they are taken.

use super::{
    energies::Bands,
    factors::{Factors, equalise},
    form::Form,
    grid::Grid,
    product::fixed,
    weights::{self, Packed, Plain},
};
use crate::{
    conv::{
        epilogue::Finish,
        operands::{Read, WeightsOf},
    },
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

    /// Where transformed weights lie.
    fn packed(&self) -> Packed;

    /// Whether weights are transformed on the way to the products.
    fn is_fresh(&self) -> bool;

    fn scratch_len(&self, cpu: &Cpu) -> usize;

    fn run<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, E>,
        weights: Weights<'_>,
        y: &mut [E],
        epilogue: Finish<'_, E>,
        scratch: &mut [f32],
    );

    /// Words of transformed weights.
    fn packed_len(&self) -> usize {
        if self.is_fresh() { 0 } else { self.packed().len(Self::FORM.weights()) }
    }
}

/// A pass, and the one that takes its place where values are too large or too small for integers.
#[derive(Debug)]
pub(super) struct Products<P> {
    pass: P,
    /// Over 32-bit floating point numbers. In training only: there weights are as new as activations,
    /// and a call transforms them by factors that it finds itself.
    wide: Option<P>,
}

impl<P: Pass> Products<P> {
    pub(super) fn new(pass: P, wide: Option<P>) -> Self {
        Products { pass, wide }
    }

    pub(super) fn packed_len(&self) -> usize {
        if self.takes_plain() { 0 } else { self.pass.packed_len() }
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let len = |pass: &P| pass.scratch_len(cpu);
        let Some(wide) = &self.wide else { return len(&self.pass) };
        let measure = Bands::<f32>::scratch_len(self.pass.input().channels);
        let own = self.own_len() + len(&self.pass).max(measure);
        own.max(wide.packed_len() + len(wide))
    }

    /// Words of factors, and of weights that a call transforms.
    fn own_len(&self) -> usize {
        if self.pass.is_fresh() { 2 * self.pass.input().channels } else { self.pass.packed_len() }
    }

    /// Whether a call transforms the weights itself.
    pub(super) fn takes_plain(&self) -> bool {
        self.wide.is_some() || self.pass.is_fresh()
    }

    /// Transforms weights for many calls.
    pub(super) fn pack<E: Element>(&self, cpu: &Cpu, plain: Plain<'_>, packed: &mut [f32]) {
        if self.takes_plain() {
            return;
        }
        let layout = self.pass.packed();
        if fixed::<E>() {
            let (sums, both) = packed.split_at_mut(layout.factors(P::FORM.weights()));
            weights::balance(cpu, plain, &mut both[..2 * self.pass.input().channels], sums);
        }
        weights::pack::<E>(cpu, plain, layout, P::FORM, packed);
    }

    /// Products of a batch. `plain` are the weights' place among others, but for their values.
    pub(super) fn run<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, E>,
        weights: WeightsOf<'_>,
        turned: (usize, bool),
        y: &mut [E],
        epilogue: Finish<'_, E>,
        scratch: &mut [f32],
    ) {
        let weights = match weights {
            WeightsOf::Plain(weights) => weights,
            WeightsOf::Packed(packed) => {
                let weights = Weights::Packed(packed);
                return self.pass.run(cpu, batch, x, weights, y, epilogue, scratch);
            }
        };
        let (in_channels, backward) = turned;
        let plain = Plain { weights, in_channels, factors: None, backward };
        let Some(wide) = &self.wide else {
            let weights = Weights::Plain(plain, Factors::NONE);
            return self.pass.run(cpu, batch, x, weights, y, epilogue, scratch);
        };
        let depth = self.pass.input().channels;
        let (own, rest) = scratch.split_at_mut(self.own_len());
        if self.measure(cpu, batch, x, own, rest) {
            let weights = if self.pass.is_fresh() {
                Weights::Plain(plain, Factors::of(own, depth))
            } else {
                weights::pack::<E>(cpu, plain, self.pass.packed(), P::FORM, own);
                Weights::Packed(own)
            };
            return self.pass.run(cpu, batch, x, weights, y, epilogue, rest);
        }
        let (own, rest) = scratch.split_at_mut(wide.packed_len());
        let weights = if wide.is_fresh() {
            Weights::Plain(plain, Factors::NONE)
        } else {
            weights::pack::<E::Wide>(cpu, plain, wide.packed(), P::FORM, own);
            Weights::Packed(own)
        };
        wide.run(cpu, batch, x.widen(), weights, E::widen_mut(y), epilogue.widen(), rest);
    }

    /// Factors of the depth, to the end of `own`; unless there are none by which integers would do.
    fn measure<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, E>,
        own: &mut [f32],
        scratch: &mut [f32],
    ) -> bool {
        let grid = self.pass.input();
        let at =
            if self.pass.is_fresh() { 0 } else { self.pass.packed().factors(P::FORM.weights()) };
        let (energies, scratch) = scratch.split_at_mut(grid.channels);
        let usable = Bands::apart(grid, x, batch).all(cpu, energies, scratch);
        if usable {
            equalise(energies, &mut own[at..at + 2 * grid.channels]);
        }
        usable
    }
}
