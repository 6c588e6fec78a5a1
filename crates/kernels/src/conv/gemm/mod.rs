//! 1x1 windows without padding: matrix products over pixels.
//!
//! Forward, and for the gradient of the input over turned weights, `[pixels][channels]` is multiplied
//! with `[channels][outputs]` ([`product`]); the gradient of the weights is a product over pixels
//! ([`weight`]). As the direct method these take every product, but the table of taps has a single
//! one here: so pixels are cut into blocks that stay in a cache for all outputs, and what comes next
//! is asked for meanwhile. On large images memory, not arithmetic, is what these layers wait for.

mod lattice;
mod product;
mod weight;

use std::marker::PhantomData;

use lattice::Lattice;
use product::{Cell, Product};
use weight::Gradient;

use super::{Algorithm, ConvShape, Epilogue, Mode, Source};
use crate::{cpu::Cpu, element::Element, layout::CHANNEL_BLOCK, pool::Parts};

/// A convolution of one shape. It reads `X` and writes `E`; weights are packed as those of the direct
/// method.
#[derive(Debug)]
pub(super) struct Gemm<X, E> {
    shape: ConvShape,
    input: Lattice,
    output: Lattice,
    gradient: Option<Gradient>,
    backward: bool,
    elements: PhantomData<(X, E)>,
}

impl<X: Element, E: Element> Gemm<X, E> {
    pub(super) const ALGORITHM: Algorithm = Algorithm::Gemm;

    /// None if the shape has no such form.
    pub(super) fn new(s: ConvShape, source: Source, mode: Mode) -> Option<Self> {
        let whole = [s.in_channels, s.out_channels].iter().all(|c| c % CHANNEL_BLOCK == 0);
        let fits = s.kernel == 1 && s.padding == 0 && source == Source::Activation;
        let gradient = || Gradient::new(&s, X::PACK);
        (fits && whole).then(|| Gemm {
            shape: s,
            input: Lattice::input(&s),
            output: Lattice::output(&s),
            gradient: (mode != Mode::Inference).then(gradient),
            backward: mode == Mode::Train,
            elements: PhantomData,
        })
    }

    /// Values of scratch for any call with up to `batch` images.
    pub(super) fn scratch_len(&self, cpu: &Cpu, batch: usize) -> usize {
        let ConvShape { in_channels, out_channels, .. } = self.shape;
        let forward = product::scratch_len(in_channels / X::PACK, cpu);
        let data =
            if self.backward { product::scratch_len(out_channels / E::PACK, cpu) } else { 0 };
        let rows = batch * self.shape.out_pixels();
        let weight = self.gradient.as_ref().map_or(0, |g| g.scratch_len(cpu, rows));
        (cpu.threads() * forward.max(data)).max(weight)
    }

    pub(super) fn forward(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[X],
        packed: &[f32],
        y: &mut [E],
        epilogue: Epilogue<'_, E>,
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        let sides = [(&self.input, s.in_channels), (&self.output, s.out_channels)];
        assert!(x.len() >= batch * s.in_len(Source::Activation), "input too short");
        let y = &mut y[..batch * s.out_len()];
        self.run(cpu, batch, x, sides, packed, y, epilogue, None, scratch);
    }

    pub(super) fn backward_data(
        &self,
        cpu: &Cpu,
        batch: usize,
        dy: &[E],
        packed: &[f32],
        dx: &mut [E],
        epilogue: Epilogue<'_, E>,
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        assert!(self.backward, "{}", super::NO_DATA);
        let sides = [(&self.output, s.out_channels), (&self.input, s.in_channels)];
        assert!(dy.len() >= batch * s.out_len(), "input too short");
        let dx = &mut dx[..batch * s.in_len(Source::Activation)];
        let between = s.stride > 1 && !epilogue.accumulate;
        let cell = between.then_some(Cell {
            stride: s.stride,
            height: s.height,
            width: s.width,
            channels: s.in_channels,
        });
        self.run(cpu, batch, dy, sides, packed, dx, epilogue, cell, scratch);
    }

    fn run<S: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        source: &[S],
        [(from, inputs), (to, outputs)]: [(&Lattice, usize); 2],
        packed: &[f32],
        output: &mut [E],
        epilogue: Epilogue<'_, E>,
        cell: Option<Cell>,
        scratch: &mut [f32],
    ) {
        let (rows, depth) = (batch * self.shape.out_pixels(), inputs / S::PACK);
        assert!(packed.len() >= depth * outputs);
        assert!(epilogue.residual.is_none_or(|r| r.len() >= output.len()));
        assert!(epilogue.bias.is_none_or(|b| b.len() >= outputs));
        let cut = product::Cut::new(cpu, rows, depth, outputs);
        let output = Parts::new(output, 0);
        let scratch = Parts::new(scratch, product::scratch_len(depth, cpu));
        cpu.pool().run(cut.items(), &|thread, item| {
            let (rows, channels) = cut.item(item);
            cpu.isa().dispatch(Product::<S, E> {
                source,
                from,
                output: &output,
                to,
                weights: packed,
                depth,
                channels,
                rows,
                total: cut.rows,
                epilogue: &epilogue,
                cell: cell.as_ref(),
                // SAFETY: each thread takes its own part.
                scratch: unsafe { scratch.get(thread) },
            });
        });
    }

    /// `dw[out][in]`.
    pub(super) fn backward_weight(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[X],
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        assert_eq!(dw.len(), s.weight_len());
        assert!(x.len() >= batch * s.in_len(Source::Activation) && dy.len() >= batch * s.out_len());
        let gradient = self.gradient.as_ref().expect(super::NO_WEIGHT);
        let (x, dy) = ((&self.input, x), (&self.output, dy));
        gradient.run(cpu, batch * s.out_pixels(), x, dy, dw, scratch);
    }
}
