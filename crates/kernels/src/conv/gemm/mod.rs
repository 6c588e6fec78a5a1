//! 1x1 windows without padding: matrix products over pixels.
//!
//! The forward pass multiplies `[pixels][channels]` with `[channels][outputs]` ([`product`]), and
//! so does the gradient of the input, with transposed weights. The gradient of the weights is a
//! product over pixels ([`backward_weight`]). These take the same products as the direct method,
//! but no indirection buffer: pixels are cut into blocks that stay in a cache for all outputs. On
//! large images these layers are memory-bound, so the next block is prefetched.

mod backward_weight;
mod product;
mod strided_pixels;

use backward_weight::GemmBackwardWeight;
use product::{Product, SkippedPixels};
use strided_pixels::StridedPixels;

use super::{
    algorithm::{Direction, NO_DATA, NO_WEIGHT},
    config::ConvConfig,
    epilogue::TypedEpilogue,
    pack::{self, Runs},
    shape::{ConvShape, Source},
};
use crate::{chunks::DisjointChunks, cpu::Cpu, layout::CHANNEL_BLOCK, scalar::Scalar};

/// A convolution of one shape. Weights are packed as those of the direct method.
#[derive(Debug)]
pub(super) struct Gemm {
    shape: ConvShape,
    input: StridedPixels,
    output: StridedPixels,
    backward_weight: Option<GemmBackwardWeight>,
    backward: bool,
    /// Values of a word.
    pack: usize,
}

impl Gemm {
    /// Whether this algorithm fits a shape.
    pub(super) fn serves(s: &ConvShape) -> bool {
        let whole = [s.in_channels, s.out_channels].iter().all(|c| c % CHANNEL_BLOCK == 0);
        s.kernel == 1 && s.padding == 0 && whole
    }

    /// For activations stored as `T`.
    pub(super) fn new<T: Scalar>(config: &ConvConfig) -> Self {
        let ConvConfig { shape: s, mode, .. } = *config;
        let backward_weight = || GemmBackwardWeight::new(&s, T::PACK);
        Gemm {
            shape: s,
            input: StridedPixels::input(&s),
            output: StridedPixels::output(&s),
            backward_weight: mode.has(Direction::BackwardWeight).then(backward_weight),
            backward: mode.has(Direction::BackwardData),
            pack: T::PACK,
        }
    }

    /// Values of scratch for any call with up to `batch` images.
    pub(super) fn scratch_len(&self, cpu: &Cpu, batch: usize) -> usize {
        let ConvShape { in_channels, out_channels, .. } = self.shape;
        let forward = product::scratch_len(in_channels / self.pack, cpu);
        let data =
            if self.backward { product::scratch_len(out_channels / self.pack, cpu) } else { 0 };
        let rows = batch * self.shape.out_pixels();
        let weight = self.backward_weight.as_ref().map_or(0, |g| g.scratch_len(cpu, rows));
        (cpu.threads() * forward.max(data)).max(weight)
    }

    /// Words of packed weights, for either direction.
    pub(super) fn packed_len(&self) -> usize {
        self.shape.in_channels * self.shape.out_channels / self.pack
    }

    pub(super) fn pack_forward<T: Scalar>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        output_scales: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        let ConvShape { in_channels, out_channels, .. } = self.shape;
        let (runs, len) = (Runs { windows: &[0], run: in_channels }, self.packed_len());
        pack::forward::<T>(cpu, runs, weights, output_scales, out_channels, &mut packed[..len]);
    }

    pub(super) fn pack_backward_data<T: Scalar>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        packed: &mut [f32],
    ) {
        assert!(self.backward, "{NO_DATA}");
        let ConvShape { in_channels, out_channels, .. } = self.shape;
        let (runs, len) = (Runs { windows: &[0], run: out_channels }, self.packed_len());
        let channels = (in_channels, out_channels);
        let tables = std::iter::once(runs);
        pack::backward_data::<T>(cpu, tables, weights, channels, &mut packed[..len]);
    }

    pub(super) fn forward<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[T],
        packed: &[f32],
        y: &mut [T],
        epilogue: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        let sides = [(&self.input, s.in_channels), (&self.output, s.out_channels)];
        assert!(x.len() >= batch * s.in_len(Source::Activation), "input too short");
        let y = &mut y[..batch * s.out_len()];
        self.run(cpu, batch, x, sides, packed, y, epilogue, None, scratch);
    }

    pub(super) fn backward_data<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        dy: &[T],
        packed: &[f32],
        dx: &mut [T],
        epilogue: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        assert!(self.backward, "{}", NO_DATA);
        let sides = [(&self.output, s.out_channels), (&self.input, s.in_channels)];
        assert!(dy.len() >= batch * s.out_len(), "input too short");
        let dx = &mut dx[..batch * s.in_len(Source::Activation)];
        let between = s.stride > 1 && !epilogue.accumulate;
        let skipped = between.then_some(SkippedPixels {
            stride: s.stride,
            height: s.height,
            width: s.width,
            channels: s.in_channels,
        });
        self.run(cpu, batch, dy, sides, packed, dx, epilogue, skipped, scratch);
    }

    fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        source: &[T],
        [(from, inputs), (to, outputs)]: [(&StridedPixels, usize); 2],
        packed: &[f32],
        output: &mut [T],
        epilogue: TypedEpilogue<'_, T>,
        skipped: Option<SkippedPixels>,
        scratch: &mut [f32],
    ) {
        let (rows, depth) = (batch * self.shape.out_pixels(), inputs / T::PACK);
        assert!(packed.len() >= depth * outputs);
        assert!(epilogue.residual.is_none_or(|r| r.len() >= output.len()));
        assert!(epilogue.bias.is_none_or(|b| b.len() >= outputs));
        let blocking = product::Blocking::new(cpu, rows, depth, outputs);
        let output = DisjointChunks::new(output, 0);
        let each = product::scratch_len(depth, cpu);
        cpu.pool().run_scratch(blocking.items(), (), (scratch, each), |item, (), scratch| {
            let (rows, channels) = blocking.item(item);
            cpu.isa().dispatch(Product {
                source,
                from,
                output: &output,
                to,
                weights: packed,
                depth,
                channels,
                rows,
                tile: blocking.tile,
                total: blocking.rows,
                epilogue: &epilogue,
                skipped: skipped.as_ref(),
                scratch,
            });
        });
    }

    /// `dw[out][in]`.
    pub(super) fn backward_weight<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[T],
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        assert_eq!(dw.len(), s.weight_len());
        assert!(x.len() >= batch * s.in_len(Source::Activation) && dy.len() >= batch * s.out_len());
        let pass = self.backward_weight.as_ref().expect(NO_WEIGHT);
        let (x, dy) = ((&self.input, x), (&self.output, dy));
        pass.run(cpu, batch * s.out_pixels(), x, dy, dw, scratch);
    }
}
