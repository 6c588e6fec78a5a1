//! Winograd convolution: 3x3, stride 1.

use super::{
    backward_weight::BackwardWeight,
    forward::{Forward, OnTheFly},
    grid::Grid,
    pass::{Call, PassWithFallback},
    quantise::is_int16,
    variant::Variant,
    weights::RawWeights,
};
use crate::{
    conv::{
        algorithm::{Algorithm, Direction, Mode, NO_DATA, NO_WEIGHT},
        epilogue::Finish,
        operands::{Read, WeightValues},
        shape::ConvShape,
    },
    cpu::Cpu,
    scalar::Scalar,
    values::Dtype,
};

/// Side of a tile of outputs.
const SIDE: usize = 4;

/// A convolution of one shape in all directions that its mode needs.
#[derive(Debug)]
pub(in crate::conv) struct Winograd {
    shape: ConvShape,
    forward: PassWithFallback<Forward>,
    backward_data: Option<PassWithFallback<Forward>>,
    backward_weight: Option<BackwardWeight>,
}

impl Winograd {
    pub(in crate::conv) const ALGORITHM: Algorithm = Algorithm::Winograd { side: SIDE, stride: 1 };

    /// Whether this algorithm fits a shape, and is faster than the direct method.
    pub(in crate::conv) fn serves(s: &ConvShape, dtype: Dtype) -> bool {
        Variant::UnitStride.fits(s, dtype)
    }

    /// Of activations stored as `T`.
    pub(in crate::conv) fn new<T: Scalar>(
        s: ConvShape,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> Self {
        let grid = |channels| Grid { height: s.height, width: s.width, channels, side: SIDE };
        let (tile, train) = (cpu.isa().tile(), mode.has(Direction::BackwardWeight));
        let (input, output) = (grid(s.in_channels), grid(s.out_channels));
        let products = |from: Grid, outputs: usize| {
            let on_the_fly = if train { OnTheFly::OneBlock } else { OnTheFly::Never };
            let wide = || Forward::new::<T::Wide>(from, outputs, batch, tile, OnTheFly::Shared);
            let pass = Forward::new::<T>(from, outputs, batch, tile, on_the_fly);
            PassWithFallback::new(pass, is_int16::<T>().then(wide), train, batch)
        };
        Winograd {
            shape: s,
            forward: products(input, s.out_channels),
            backward_data: mode
                .has(Direction::BackwardData)
                .then(|| products(output, s.in_channels)),
            backward_weight: mode
                .has(Direction::BackwardWeight)
                .then(|| BackwardWeight::new::<T>(Variant::UnitStride, input, output, batch)),
        }
    }

    pub(in crate::conv) fn packed_len(&self) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, PassWithFallback::packed_len);
        self.forward.packed_len().max(backward)
    }

    pub(in crate::conv) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, |f| f.scratch_len(cpu));
        let weight = self.backward_weight.as_ref().map_or(0, |w| w.scratch_len(cpu));
        self.forward.scratch_len(cpu).max(backward).max(weight)
    }

    pub(in crate::conv) fn pack<T: Scalar>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        factors: Option<&[f32]>,
        backward: bool,
        packed: &mut [f32],
    ) {
        let products = if backward { self.backward() } else { &self.forward };
        let raw = RawWeights { weights, in_channels: self.shape.in_channels, factors, backward };
        products.pack::<T>(cpu, raw, packed);
    }

    fn backward(&self) -> &PassWithFallback<Forward> {
        self.backward_data.as_ref().expect(NO_DATA)
    }

    /// Whether a direction's weights are packed by the call itself.
    ///
    /// # Panics
    /// If it is not prepared for the gradient of the input.
    pub(in crate::conv) fn packs_in_call(&self, direction: Direction) -> bool {
        match direction {
            Direction::BackwardData => self.backward().packs_in_call(),
            _ => self.forward.packs_in_call(),
        }
    }

    pub(in crate::conv) fn forward<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, T>,
        weights: WeightValues<'_>,
        y: &mut [T],
        epilogue: Finish<'_, T>,
        scratch: &mut [f32],
    ) {
        let call = Call { batch, x, y, epilogue };
        self.products(cpu, false, call, weights, scratch);
    }

    pub(in crate::conv) fn backward_data<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        dy: &[T],
        weights: WeightValues<'_>,
        dx: &mut [T],
        epilogue: Finish<'_, T>,
        scratch: &mut [f32],
    ) {
        let call = Call { batch, x: dy.into(), y: dx, epilogue };
        self.products(cpu, true, call, weights, scratch);
    }

    fn products<T: Scalar>(
        &self,
        cpu: &Cpu,
        backward: bool,
        call: Call<'_, T>,
        weights: WeightValues<'_>,
        scratch: &mut [f32],
    ) {
        let products = if backward { self.backward() } else { &self.forward };
        match weights {
            WeightValues::Packed(packed) => products.run_packed(cpu, call, packed, scratch),
            WeightValues::Unpacked(weights) => {
                let in_channels = self.shape.in_channels;
                let raw = RawWeights { weights, in_channels, factors: None, backward };
                products.run_raw(cpu, call, raw, scratch);
            }
        }
    }

    pub(in crate::conv) fn backward_weight<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, T>,
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let pass = self.backward_weight.as_ref().expect(NO_WEIGHT);
        pass.run(cpu, batch, x, dy, dw, scratch);
    }
}
