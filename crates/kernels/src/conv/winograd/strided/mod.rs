//! Winograd convolution: 3x3, stride 2.
//!
//! Outputs are cut into tiles of 4 x 4, whose inputs make 9 x 9 coefficients: 81 products where the
//! direct method has 144. Coefficients of pixels that the transform leaves as they are share their
//! weights: 6 x 6 planes of weights serve all.

mod forward;

use forward::Forward;

use super::{
    backward_weight::BackwardWeight,
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

/// Fewer tiles are not worth the traffic of the transformed weights.
const FEWEST_TILES: usize = 32;

/// A convolution of one shape in all directions that its mode needs.
#[derive(Debug)]
pub(in crate::conv) struct Strided {
    shape: ConvShape,
    forward: PassWithFallback<Forward>,
    backward_data: Option<PassWithFallback<Forward>>,
    backward_weight: Option<BackwardWeight>,
}

impl Strided {
    pub(in crate::conv) const ALGORITHM: Algorithm = Algorithm::Winograd { side: 4, stride: 2 };

    /// Whether this algorithm fits a shape, and is faster than the direct method.
    pub(in crate::conv) fn serves(s: &ConvShape, dtype: Dtype, batch: usize) -> bool {
        Variant::Strided.fits(s, dtype) && batch * grids(s).1.tiles() >= FEWEST_TILES
    }

    /// Of activations stored as `T`.
    pub(in crate::conv) fn new<T: Scalar>(
        s: ConvShape,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> Self {
        let (input, output) = grids(&s);
        let (tile, train) = (cpu.isa().tile(), mode.has(Direction::BackwardWeight));
        let products = |from: Grid, to: Grid, gradient: bool| {
            let wide = || Forward::new::<T::Wide>(from, to, gradient, batch, tile);
            let pass = Forward::new::<T>(from, to, gradient, batch, tile);
            PassWithFallback::new(pass, is_int16::<T>().then(wide), train, batch)
        };
        Strided {
            shape: s,
            forward: products(input, output, false),
            backward_data: mode.has(Direction::BackwardData).then(|| products(output, input, true)),
            backward_weight: mode
                .has(Direction::BackwardWeight)
                .then(|| BackwardWeight::new::<T>(Variant::Strided, input, output, batch)),
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

/// The tiles of the input, and those of the output.
fn grids(s: &ConvShape) -> (Grid, Grid) {
    let input = Grid { height: s.height, width: s.width, channels: s.in_channels, side: 8 };
    let (height, width) = (s.height.div_ceil(2), s.width.div_ceil(2));
    (input, Grid { height, width, channels: s.out_channels, side: 4 })
}
