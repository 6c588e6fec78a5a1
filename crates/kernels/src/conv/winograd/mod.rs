//! Winograd convolution: 3x3, stride 1, with fewer products than weights and pixels.
//!
//! Images are cut into tiles of M x M outputs; N x N elements of a transformed tile (N = M + 2) and
//! of transformed weights are multiplied as N² matrix products and transformed back (Lavin and Gray
//! 2016). F(4x4, 3x3) has a quarter of the products of the direct method.

mod ahead;
mod backward_weight;
mod form;
mod forward;
mod multiply;
mod patch;
mod product;
mod store;
mod strided;
mod tiles;
mod transform;
mod weights;

pub(super) use strided::Strided;

use backward_weight::BackwardWeight;
use form::Form;
use forward::{Forward, Operand};
use tiles::{Grid, MAX_CHANNELS};
use weights::Plain;

use super::{Activation, Algorithm, ConvShape, Epilogue, Mode, Weights};
use crate::{cpu::Cpu, element::Element, layout::CHANNEL_BLOCK};

/// Stored channels, at most.
const fn most<E: Element>() -> usize {
    if product::fixed::<E>() { product::CHANNELS } else { MAX_CHANNELS }
}

/// Side of a tile of outputs.
const SIDE: usize = 4;

/// A convolution of one shape in all directions that its mode needs.
#[derive(Debug)]
pub(super) struct Winograd {
    shape: ConvShape,
    forward: Forward,
    backward_data: Option<Forward>,
    backward_weight: Option<BackwardWeight>,
}

impl Winograd {
    pub(super) const ALGORITHM: Algorithm = Algorithm::Winograd { side: SIDE, stride: 1 };

    /// None if the shape has no such form, or the direct method is the better one.
    pub(super) fn new<E: Element>(
        s: ConvShape,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> Option<Self> {
        let whole = |channels: usize| {
            channels.is_multiple_of(CHANNEL_BLOCK * E::PACK) && channels <= most::<E>()
        };
        let fits = s.kernel == 3 && s.stride == 1 && s.padding == 1;
        if !fits || !whole(s.in_channels) || !whole(s.out_channels) {
            return None;
        }
        if s.in_channels < 32 || s.out_channels < 32 {
            return None;
        }
        let grid = |channels| Grid { height: s.height, width: s.width, channels, side: SIDE };
        let (tile, train) = (cpu.isa().tile(), mode != Mode::Inference);
        let (input, outputs) = (grid(s.in_channels), s.out_channels);
        let output = grid(s.out_channels);
        Some(Winograd {
            shape: s,
            forward: Forward::new::<E>(input, outputs, batch, tile, train),
            backward_data: (mode == Mode::Train)
                .then(|| Forward::new::<E>(output, s.in_channels, batch, tile, train)),
            backward_weight: (mode != Mode::Inference)
                .then(|| BackwardWeight::new::<E>(Form::Plain, input, output, batch)),
        })
    }

    pub(super) fn packed_len(&self) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, Forward::packed_len);
        self.forward.packed_len().max(backward)
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, |f| f.scratch_len(cpu));
        let weight = self.backward_weight.as_ref().map_or(0, |w| w.scratch_len(cpu));
        self.forward.scratch_len(cpu).max(backward).max(weight)
    }

    pub(super) fn pack<'a, E: Element>(
        &self,
        cpu: &Cpu,
        weights: &'a [f32],
        factors: Option<&[f32]>,
        backward: bool,
        packed: &'a mut [f32],
    ) -> Weights<'a> {
        let pass = if backward { self.backward() } else { &self.forward };
        if pass.fresh {
            assert!(factors.is_none(), "factors are for inference");
            return Weights::Plain(weights);
        }
        let in_channels = self.shape.in_channels;
        let plain = Plain { weights, in_channels, factors, backward };
        weights::pack::<E>(cpu, plain, pass.packed, Form::Plain, packed);
        Weights::Packed(packed)
    }

    fn backward(&self) -> &Forward {
        self.backward_data.as_ref().expect(super::NO_DATA)
    }

    fn operand<'a>(&self, weights: Weights<'a>, backward: bool) -> Operand<'a> {
        match weights {
            Weights::Packed(packed) => Operand::Packed(packed),
            Weights::Plain(weights) => {
                let in_channels = self.shape.in_channels;
                Operand::Plain(Plain { weights, in_channels, factors: None, backward })
            }
        }
    }

    pub(super) fn forward<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Activation<'_, X>,
        weights: Weights<'_>,
        y: &mut [E],
        epilogue: Epilogue<'_, E>,
        scratch: &mut [f32],
    ) {
        let weights = self.operand(weights, false);
        self.forward.run(cpu, batch, x, weights, y, epilogue, scratch);
    }

    pub(super) fn backward_data<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        dy: &[E],
        weights: Weights<'_>,
        dx: &mut [E],
        epilogue: Epilogue<'_, E>,
        scratch: &mut [f32],
    ) {
        let weights = self.operand(weights, true);
        self.backward().run(cpu, batch, dy.into(), weights, dx, epilogue, scratch);
    }

    pub(super) fn backward_weight<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Activation<'_, X>,
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let pass = self.backward_weight.as_ref().expect(super::NO_WEIGHT);
        pass.run(cpu, batch, x, dy, dw, scratch);
    }
}
