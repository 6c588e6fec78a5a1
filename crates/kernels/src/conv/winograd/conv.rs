//! A Winograd convolution in all directions.

use super::{
    backward_weight::WinogradBackwardWeight,
    pass::{Call, Pass, PassWithFallback},
    weights::RawWeights,
};
use crate::{
    conv::{
        algorithm::{Direction, NO_DATA, NO_WEIGHT},
        epilogue::TypedEpilogue,
        operands::{TypedInput, WeightValues},
    },
    cpu::Cpu,
    scalar::Scalar,
};

/// A convolution of one shape in the directions that its mode needs. `P` is the variant's forward
/// pass, which also computes the gradient of the input.
#[derive(Debug)]
pub(in crate::conv) struct Winograd<P> {
    pub(super) in_channels: usize,
    pub(super) forward: PassWithFallback<P>,
    pub(super) backward_data: Option<PassWithFallback<P>>,
    pub(super) backward_weight: Option<WinogradBackwardWeight>,
}

impl<P: Pass> Winograd<P> {
    /// Words of packed weights, for either direction.
    pub(in crate::conv) fn packed_len(&self) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, PassWithFallback::packed_len);
        self.forward.packed_len().max(backward)
    }

    /// Values of scratch, for any call.
    pub(in crate::conv) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, |f| f.scratch_len(cpu));
        let weight = self.backward_weight.as_ref().map_or(0, |w| w.scratch_len(cpu));
        self.forward.scratch_len(cpu).max(backward).max(weight)
    }

    /// Transforms weights of one direction, each output channel times its scale (forward only),
    /// unless calls of that direction do so themselves.
    pub(in crate::conv) fn pack<T: Scalar>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        output_scales: Option<&[f32]>,
        backward: bool,
        packed: &mut [f32],
    ) {
        let raw = RawWeights { weights, in_channels: self.in_channels, output_scales, backward };
        self.pass(backward).pack::<T>(cpu, raw, packed);
    }

    /// # Panics
    /// If the convolution is not prepared for the gradient of the input.
    fn pass(&self, backward: bool) -> &PassWithFallback<P> {
        if backward { self.backward_data.as_ref().expect(NO_DATA) } else { &self.forward }
    }

    /// Whether a call of this direction transforms the weights itself.
    ///
    /// # Panics
    /// If the convolution is not prepared for the gradient of the input.
    pub(in crate::conv) fn packs_in_call(&self, direction: Direction) -> bool {
        self.pass(direction == Direction::BackwardData).packs_in_call()
    }

    pub(in crate::conv) fn forward<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: TypedInput<'_, T>,
        weights: WeightValues<'_>,
        y: &mut [T],
        epilogue: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        self.run(cpu, false, Call { batch, x, y, epilogue }, weights, scratch);
    }

    pub(in crate::conv) fn backward_data<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        dy: &[T],
        weights: WeightValues<'_>,
        dx: &mut [T],
        epilogue: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        self.run(cpu, true, Call { batch, x: dy.into(), y: dx, epilogue }, weights, scratch);
    }

    fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        backward: bool,
        call: Call<'_, T>,
        weights: WeightValues<'_>,
        scratch: &mut [f32],
    ) {
        let pass = self.pass(backward);
        match weights {
            WeightValues::Packed(packed) => pass.run_packed(cpu, call, packed, scratch),
            WeightValues::Unpacked(weights) => {
                let in_channels = self.in_channels;
                let raw = RawWeights { weights, in_channels, output_scales: None, backward };
                pass.run_raw(cpu, call, raw, scratch);
            }
        }
    }

    pub(in crate::conv) fn backward_weight<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: TypedInput<'_, T>,
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let pass = self.backward_weight.as_ref().expect(NO_WEIGHT);
        pass.run(cpu, batch, x, dy, dw, scratch);
    }
}
