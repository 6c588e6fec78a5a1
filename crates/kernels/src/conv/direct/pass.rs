//! The forward pass, and the gradient of the input.

use super::{
    gather::{Extent, Gather},
    indirection::IndirectionBuffer,
    pack_groups,
    panels::Panels,
};
use crate::{
    chunks::DisjointChunks,
    conv::{
        epilogue::TypedEpilogue,
        pack,
        shape::{ConvShape, Source},
    },
    cpu::Cpu,
    layout::padded,
    memory::OutOfMemory,
    scalar::Scalar,
};

/// Output pixels of an item of work, MC, in whole tiles of 4, 6 or 8. Their sums, two AVX-512
/// vectors each, take 126 KiB.
const ITEM_PIXELS: usize = 1008;
/// Images of an item whose tiles run across images.
const ITEM_IMAGES: usize = 8;
/// The largest image, in pixels, for which tiles run across images.
const SMALL_IMAGE: usize = 256;

/// The forward pass, or the gradient of the input: the same kernel over other indirection buffers.
#[derive(Debug)]
pub(super) struct IndirectPass {
    shape: ConvShape,
    source: Source,
    tables: Vec<IndirectionBuffer>,
    panels: Panels,
    backward: bool,
    /// Values of an image that is read, and of one that is written.
    images: (usize, usize),
    /// Values of a word.
    pack: usize,
}

impl IndirectPass {
    /// For products of `X`.
    pub(super) fn forward<X: Scalar>(
        shape: ConvShape,
        source: Source,
        lanes: usize,
    ) -> Result<Self, OutOfMemory> {
        let images = (shape.in_len(source), shape.out_len());
        let panels = Panels::of_outputs(&shape, source, X::PACK, lanes);
        let tables = vec![IndirectionBuffer::forward(&shape, source)?];
        Ok(IndirectPass::new(X::PACK, (shape, source), tables, panels, false, images))
    }

    /// For products of `X`.
    pub(super) fn backward_data<X: Scalar>(
        shape: ConvShape,
        lanes: usize,
    ) -> Result<Self, OutOfMemory> {
        let source = Source::Activation;
        let images = (shape.out_len(), shape.in_len(source));
        let panels = Panels::of_inputs(&shape, X::PACK, lanes);
        let tables = IndirectionBuffer::backward_data(&shape)?;
        Ok(IndirectPass::new(X::PACK, (shape, source), tables, panels, true, images))
    }

    fn new(
        pack: usize,
        (shape, source): (ConvShape, Source),
        tables: Vec<IndirectionBuffer>,
        panels: Panels,
        backward: bool,
        images: (usize, usize),
    ) -> Self {
        assert!(tables.iter().all(|t| t.run.is_multiple_of(pack)), "{shape:?}: split words");
        IndirectPass { shape, source, tables, panels, backward, images, pack }
    }

    fn pixels(&self) -> usize {
        self.tables.iter().map(IndirectionBuffer::pixels).sum()
    }

    /// Stored channels of the output.
    fn channels(&self) -> usize {
        padded(if self.backward { self.shape.in_channels } else { self.shape.out_channels })
    }

    /// Words of packed weights.
    pub(super) fn packed_len(&self) -> usize {
        self.tables.iter().map(|table| self.panels.packed_len(table.len())).sum()
    }

    /// Values of scratch, for any batch.
    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let image = self.tables.iter().map(IndirectionBuffer::pixels).max().unwrap_or(0);
        let images = if self.pixels() <= SMALL_IMAGE { ITEM_IMAGES } else { 1 };
        let item = if self.tables.len() > 1 { image * images } else { ITEM_PIXELS };
        // The last tile is held whole.
        let sums = item.max(SMALL_IMAGE * ITEM_IMAGES) + cpu.isa().mr();
        cpu.threads() * sums * 2 * cpu.isa().lanes()
    }

    /// Packs weights for products of `X`, each output channel times its scale (forward only).
    pub(super) fn pack<X: Scalar>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        output_scales: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        let s = &self.shape;
        let packed = &mut packed[..self.packed_len()];
        if s.groups > 1 {
            let mut rest = packed;
            for table in &self.tables {
                let (here, after) = rest.split_at_mut(self.panels.packed_len(table.len()));
                rest = after;
                let panels = (self.panels, table.runs());
                if self.backward {
                    pack_groups::backward_data::<X>(cpu, s, panels, weights, here);
                } else {
                    let s = (s, self.source);
                    pack_groups::forward::<X>(cpu, s, panels, weights, output_scales, here);
                }
            }
        } else if self.backward {
            let channels = (s.in_channels, s.out_channels);
            let tables = self.tables.iter().map(IndirectionBuffer::runs);
            pack::backward_data::<X>(cpu, tables, weights, channels, packed);
        } else {
            let runs = self.tables[0].runs();
            pack::forward::<X>(cpu, runs, weights, output_scales, s.out_channels, packed);
        }
    }

    pub(super) fn run<X: Scalar, T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        source: &[X],
        packed: &[f32],
        output: &mut [T],
        epilogue: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        assert_eq!(self.pack, X::PACK);
        let (source_image, output_image) = self.images;
        assert!(source.len() >= batch * source_image, "input too short");
        let output = &mut output[..batch * output_image];
        let (tables, pixels, channels) = (&self.tables, self.pixels(), self.channels());
        let weights = &packed[..self.packed_len()];
        let several_taps = tables.iter().any(|table| table.len() > 1);
        // A panel that reads a span of the channels reads few lines of a pixel. Those of the same
        // pixel of eight images fall into few sets of a cache.
        let spans = self.shape.groups > 1 && self.panels.block.is_none();
        let small = pixels <= SMALL_IMAGE && batch >= ITEM_IMAGES && several_taps && !spans;
        let item_pixels = if small {
            ITEM_IMAGES * pixels
        } else if tables.len() > 1 {
            pixels
        } else {
            // Enough items for the threads. The cut of outputs changes no bit.
            let share = (batch * pixels).div_ceil(4 * cpu.threads()).next_multiple_of(24);
            share.min(ITEM_PIXELS)
        };
        let items = (batch * pixels).div_ceil(item_pixels);
        let parts = DisjointChunks::new(output, item_pixels * channels);
        let share = scratch.len() / cpu.threads();
        cpu.pool().run_scratch(items, parts, (scratch, share), |item, output, partial| {
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
                panels: self.panels,
                weights,
                source,
                source_image,
                output,
                output_image,
                channels,
                first: (start / pixels, start % pixels),
                extent,
                epilogue: TypedEpilogue { residual, ..epilogue },
                partial,
            });
        });
    }
}
