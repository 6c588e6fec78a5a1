//! Convolution: forward, gradient of the input, gradient of the weights.

mod backward_weight;
mod gather;
mod pack;
pub mod reference;
mod shape;
mod taps;
#[cfg(test)]
mod tests;

pub use gather::Epilogue;
pub use shape::{ConvShape, Source};

use backward_weight::BackwardWeight;
use gather::{Extent, Gather};
use taps::Taps;

use crate::{cpu::Cpu, element::Element, layout::padded, pool::Parts};

/// Output pixels of an item of work, in whole tiles of 4, 6 or 8: their sums, two AVX-512 vectors
/// each, are 126 KiB.
const ITEM_PIXELS: usize = 1008;
/// Images of an item whose tiles run across images.
const ITEM_IMAGES: usize = 8;
/// Up to so many pixels, tiles run across images.
const SMALL_IMAGE: usize = 256;

/// What a convolution is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward only.
    Inference,
    /// Forward, and the gradient of the weights.
    TrainFirst,
    /// Forward and both gradients.
    Train,
}

/// A convolution of one shape, direct: tables are built once, calls allocate nothing.
///
/// Weights are `[out][kernel row][kernel column][in]`; see [`crate::layout`] for the rest. The
/// batch may differ from call to call.
#[derive(Debug)]
pub struct Conv {
    shape: ConvShape,
    source: Source,
    cpu: Cpu,
    forward: Vec<Taps>,
    backward_data: Vec<Taps>,
    backward_weight: Option<BackwardWeight>,
}

impl Conv {
    /// Prepares a convolution.
    ///
    /// # Panics
    /// If the window does not fit in the padded input, or an image has 2^32 values or more.
    pub fn new(shape: ConvShape, source: Source, mode: Mode, cpu: &Cpu) -> Self {
        let ConvShape { kernel, stride, in_channels, out_channels, .. } = shape;
        assert!([kernel, stride, in_channels, out_channels].iter().all(|&n| n > 0), "{shape:?}");
        let side = shape.height.min(shape.width) + 2 * shape.padding;
        assert!(side >= shape.kernel, "{shape:?}: the window does not fit");
        let train = mode != Mode::Inference;
        let both = mode == Mode::Train;
        Conv {
            shape,
            source,
            cpu: cpu.clone(),
            forward: vec![Taps::forward(&shape, source)],
            backward_data: if both { Taps::backward_data(&shape) } else { vec![] },
            backward_weight: train.then(|| BackwardWeight::new(shape, source)),
        }
    }

    /// Values of packed weights, for either direction.
    pub fn packed_len(&self) -> usize {
        let length = |tables: &[Taps], channels: usize| {
            tables.iter().map(Taps::depth).sum::<usize>() * padded(channels)
        };
        length(&self.forward, self.shape.out_channels)
            .max(length(&self.backward_data, self.shape.in_channels))
    }

    /// Values of scratch for any call with up to `batch` images.
    pub fn scratch_len(&self, batch: usize) -> usize {
        let pixels = |tables: &[Taps]| {
            let image = tables.iter().map(Taps::pixels).max().unwrap_or(0);
            let total: usize = tables.iter().map(Taps::pixels).sum();
            let images = if total <= SMALL_IMAGE { ITEM_IMAGES } else { 1 };
            let item = if tables.len() > 1 { image * images } else { ITEM_PIXELS };
            // The last tile is held whole.
            item.max(SMALL_IMAGE * ITEM_IMAGES) + self.cpu.isa().tile()
        };
        let sums = pixels(&self.forward).max(pixels(&self.backward_data));
        let gather = self.cpu.threads() * sums * 2 * self.cpu.isa().lanes();
        let weight = self.backward_weight.as_ref().map_or(0, |b| b.scratch_len(&self.cpu, batch));
        gather.max(weight)
    }

    /// Packs weights for [`Conv::forward`], each output channel times its factor (batch norm
    /// folded in).
    pub fn pack_forward(&self, weights: &[f32], factors: Option<&[f32]>, packed: &mut [f32]) {
        assert_eq!(weights.len(), self.shape.weight_len());
        let table = &self.forward[0];
        let packed = &mut packed[..table.depth() * padded(self.shape.out_channels)];
        pack::forward(&self.cpu, table, weights, factors, self.shape.out_channels, packed);
    }

    /// `y = x * w`, then the epilogue.
    pub fn forward<E: Element>(
        &self,
        batch: usize,
        x: &[E],
        packed: &[f32],
        y: &mut [E],
        epilogue: Epilogue<'_, E>,
        scratch: &mut [f32],
    ) {
        let s = &self.shape;
        let images = (s.in_len(self.source), s.out_len());
        self.gather(&self.forward, batch, x, packed, y, images, epilogue, scratch);
    }

    /// Packs weights for [`Conv::backward_data`].
    pub fn pack_backward_data(&self, weights: &[f32], packed: &mut [f32]) {
        let s = &self.shape;
        assert_eq!(weights.len(), s.weight_len());
        let channels = (s.in_channels, s.out_channels);
        pack::backward_data(&self.cpu, &self.backward_data, weights, channels, packed);
    }

    /// The gradient of the input: stored in `dx`, or added to it.
    pub fn backward_data<E: Element>(
        &self,
        batch: usize,
        dy: &[E],
        packed: &[f32],
        dx: &mut [E],
        accumulate: bool,
        scratch: &mut [f32],
    ) {
        assert!(!self.backward_data.is_empty(), "prepared without the gradient of the input");
        let s = &self.shape;
        let images = (s.out_len(), s.in_len(Source::Activation));
        let epilogue = if accumulate { Epilogue::ACCUMULATE } else { Epilogue::STORE };
        self.gather(&self.backward_data, batch, dy, packed, dx, images, epilogue, scratch);
    }

    /// The gradient of the weights, stored in `dw`.
    pub fn backward_weight<E: Element>(
        &self,
        batch: usize,
        x: &[E],
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let plan = self.backward_weight.as_ref().expect("prepared for inference");
        plan.run(&self.cpu, batch, x, dy, dw, scratch);
    }

    fn gather<E: Element>(
        &self,
        tables: &[Taps],
        batch: usize,
        source: &[E],
        packed: &[f32],
        output: &mut [E],
        (source_image, output_image): (usize, usize),
        epilogue: Epilogue<'_, E>,
        scratch: &mut [f32],
    ) {
        assert!(source.len() >= batch * source_image, "input too short");
        let output = &mut output[..batch * output_image];
        let cpu = &self.cpu;
        let pixels: usize = tables.iter().map(Taps::pixels).sum();
        let channels = output_image / pixels;
        let depth = tables.iter().map(Taps::depth).sum::<usize>();
        let weights = &packed[..depth * channels];
        let several_taps = tables.iter().any(|table| table.len() > 1);
        let small = pixels <= SMALL_IMAGE && batch >= ITEM_IMAGES && several_taps;
        let item_pixels = if small {
            ITEM_IMAGES * pixels
        } else if tables.len() > 1 {
            pixels
        } else {
            // Enough items for the threads: where outputs are cut changes none of them.
            let share = (batch * pixels).div_ceil(4 * cpu.threads()).next_multiple_of(24);
            share.min(ITEM_PIXELS)
        };
        let items = (batch * pixels).div_ceil(item_pixels);
        let parts = Parts::new(output, item_pixels * channels);
        let share = scratch.len() / cpu.threads();
        let partial = Parts::new(scratch, share);
        cpu.pool().run(items, &|thread, item| {
            // SAFETY: each item takes its own part, each thread its own scratch.
            let (output, partial) = unsafe { (parts.get(item), partial.get(thread)) };
            let start = item * item_pixels;
            let count = item_pixels.min(batch * pixels - start);
            let extent = if small || tables.len() > 1 {
                Extent::Images(count / pixels)
            } else {
                Extent::Pixels(count)
            };
            let range = start * channels..start * channels + output.len();
            let residual = epilogue.residual.map(|r| &r[range]);
            cpu.isa().dispatch(Gather {
                tables,
                weights,
                source,
                source_image,
                output,
                output_image,
                channels,
                first: (start / pixels, start % pixels),
                extent,
                epilogue: Epilogue { residual, ..epilogue },
                partial,
            });
        });
    }
}
