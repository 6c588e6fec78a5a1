//! Winograd convolution: 3x3, stride 2.
//!
//! Outputs are cut into tiles of 4 x 4, whose inputs make 9 x 9 elements: 81 products where the
//! direct method has 144. Elements of pixels that the transform leaves as they are share their
//! weights: 6 x 6 planes of weights serve all.

mod forward;

use forward::{Forward, WEIGHTS};

use super::{
    backward_weight::BackwardWeight,
    form::Form,
    grid::Grid,
    weights::{self, Plain},
};
use crate::{
    conv::{
        algorithm::{Algorithm, Direction, Mode, NO_DATA, NO_WEIGHT},
        epilogue::Finish,
        operands::Read,
        shape::ConvShape,
    },
    cpu::Cpu,
    element::Element,
    values::Dtype,
};

/// Fewer tiles are not worth the traffic of the transformed weights.
const FEWEST_TILES: usize = 32;

/// A convolution of one shape in all directions that its mode needs.
#[derive(Debug)]
pub(in crate::conv) struct Strided {
    shape: ConvShape,
    forward: Forward,
    backward_data: Option<Forward>,
    backward_weight: Option<BackwardWeight>,
}

impl Strided {
    pub(in crate::conv) const ALGORITHM: Algorithm = Algorithm::Winograd { side: 4, stride: 2 };

    /// Whether a shape has such a form, and the direct method is not the better one.
    pub(in crate::conv) fn serves(s: &ConvShape, dtype: Dtype, batch: usize) -> bool {
        Form::Strided.fits(s, dtype) && batch * grids(s).1.tiles() >= FEWEST_TILES
    }

    /// Of activations stored as `E`.
    pub(in crate::conv) fn new<E: Element>(
        s: ConvShape,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> Self {
        let (input, output) = grids(&s);
        let tile = cpu.isa().tile();
        Strided {
            shape: s,
            forward: Forward::new::<E>(input, output, false, batch, tile),
            backward_data: mode
                .has(Direction::BackwardData)
                .then(|| Forward::new::<E>(output, input, true, batch, tile)),
            backward_weight: mode
                .has(Direction::BackwardWeight)
                .then(|| BackwardWeight::new::<E>(Form::Strided, input, output, batch)),
        }
    }

    pub(in crate::conv) fn packed_len(&self) -> usize {
        let len = |f: &Forward| f.packed.len(WEIGHTS);
        len(&self.forward).max(self.backward_data.as_ref().map_or(0, len))
    }

    pub(in crate::conv) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, |f| f.scratch_len(cpu));
        let weight = self.backward_weight.as_ref().map_or(0, |w| w.scratch_len(cpu));
        self.forward.scratch_len(cpu).max(backward).max(weight)
    }

    pub(in crate::conv) fn pack<E: Element>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        factors: Option<&[f32]>,
        backward: bool,
        packed: &mut [f32],
    ) {
        let pass = if backward { self.backward() } else { &self.forward };
        let plain = Plain { weights, in_channels: self.shape.in_channels, factors, backward };
        weights::pack::<E>(cpu, plain, pass.packed, Form::Strided, packed);
    }

    fn backward(&self) -> &Forward {
        self.backward_data.as_ref().expect(NO_DATA)
    }

    pub(in crate::conv) fn forward<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, E>,
        packed: &[f32],
        y: &mut [E],
        epilogue: Finish<'_, E>,
        scratch: &mut [f32],
    ) {
        self.forward.run(cpu, batch, x, packed, y, epilogue, scratch);
    }

    pub(in crate::conv) fn backward_data<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        dy: &[E],
        packed: &[f32],
        dx: &mut [E],
        epilogue: Finish<'_, E>,
        scratch: &mut [f32],
    ) {
        self.backward().run(cpu, batch, dy.into(), packed, dx, epilogue, scratch);
    }

    pub(in crate::conv) fn backward_weight<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, E>,
        dy: &[E],
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
