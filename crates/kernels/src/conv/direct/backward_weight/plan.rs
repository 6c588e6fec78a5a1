//! How a gradient of weights is cut, and its lists of pixels.

use std::ops::Range;

use crate::{
    conv::{
        direct::{
            indirection::{input_pixel, offset},
            panels::Panels,
        },
        shape::{ConvShape, Source},
    },
    cpu::Cpu,
    layout::padded,
    memory::{OutOfMemory, try_with_capacity},
    scalar::Scalar,
};

/// Output channels of an item, MC.
pub(super) const SLICE: usize = 64;
/// The target number of items.
const ITEMS: usize = 8;
/// The target number of output pixels of a block, in words, KC. 128 of two AVX-512 vectors are 16
/// KiB of x.
const BLOCK: usize = 128;

/// Pairs of (pixel of x, pixel of dy) within a block.
pub(super) type Pairs = Vec<(u32, u32)>;

/// Some rows of an image, or several whole images.
#[derive(Debug)]
pub(super) struct PixelBlock {
    /// First input row of those used.
    pub(super) first_row: usize,
    /// Input rows of an image, of those used.
    pub(super) rows: usize,
    /// First output row.
    pub(super) first_out: usize,
    /// Output pixels of an image.
    pub(super) pixels: usize,
    /// For each window position.
    pub(super) pairs: Vec<Pairs>,
}

/// The cuts of a gradient of weights, and its lists of pixels.
#[derive(Debug)]
pub(in crate::conv::direct) struct DirectBackwardWeight {
    pub(super) shape: ConvShape,
    pub(super) source: Source,
    /// Window positions.
    pub(super) taps: usize,
    /// Values of a window position in the weight of an output.
    pub(super) values: usize,
    /// With groups: the panels of outputs.
    pub(super) panels: Panels,
    /// Step between the rows and columns of the input that are used: the stride of a 1x1 window,
    /// else 1.
    pub(super) skip: usize,
    /// Images of a block (1 where an image has several blocks), counted as words.
    pub(super) images: usize,
    pub(super) blocks: Vec<PixelBlock>,
    /// Values of a word.
    pub(super) pack: usize,
}

/// Lengths of a worker's scratch.
pub(super) struct Scratch {
    pub(super) sums: usize,
    pub(super) x: usize,
    pub(super) dy: usize,
}

impl DirectBackwardWeight {
    /// For products of `X`.
    pub(in crate::conv::direct) fn new<X: Scalar>(
        shape: ConvShape,
        source: Source,
        lanes: usize,
    ) -> Result<Self, OutOfMemory> {
        let taps = match source {
            Source::Activation => shape.kernel * shape.kernel,
            Source::Image => shape.kernel,
        };
        let values = shape.weight_len() / shape.out_channels / taps;
        // A word holds the same channel of two images.
        let panels = Panels::of_outputs(&shape, source, 1, lanes);
        let alone = source == Source::Activation && shape.kernel == 1 && shape.padding == 0;
        let skip = if alone { shape.stride } else { 1 };
        let height = shape.out_height();
        let (images, rows) = DirectBackwardWeight::cut(&shape, source);
        let blocks = (0..height)
            .step_by(rows)
            .map(|y| PixelBlock::new(&shape, source, skip, images, y..(y + rows).min(height)))
            .collect::<Result<_, _>>()?;
        Ok(DirectBackwardWeight {
            shape,
            source,
            taps,
            values,
            panels,
            skip,
            images,
            blocks,
            pack: X::PACK,
        })
    }

    /// Images of a block, and output rows of one.
    fn cut(shape: &ConvShape, source: Source) -> (usize, usize) {
        let (height, width) = (shape.out_height(), shape.out_width());
        // Positions in a block are 32-bit numbers, as in an image.
        let most = u32::MAX as usize / shape.in_len(source).max(shape.out_len());
        let images = (BLOCK / shape.out_pixels()).min(most).max(1);
        (images, if images > 1 { height } else { (BLOCK / width).clamp(1, height) })
    }

    /// The most bytes of the lists of pixels.
    pub(in crate::conv::direct) fn table_bytes(shape: &ConvShape, source: Source) -> usize {
        let taps = match source {
            Source::Activation => shape.kernel * shape.kernel,
            Source::Image => shape.kernel,
        };
        let (images, rows) = DirectBackwardWeight::cut(shape, source);
        let pairs = images * shape.out_pixels();
        let lists = taps.saturating_mul(pairs).saturating_mul(size_of::<(u32, u32)>());
        let block = size_of::<PixelBlock>() + taps * size_of::<Pairs>();
        lists.saturating_add(shape.out_height().div_ceil(rows).saturating_mul(block))
    }

    /// The number of parts of a batch of `batch` images.
    pub(super) fn chunks(&self, batch: usize) -> usize {
        ITEMS.div_ceil(self.slices()).min(batch.div_ceil(self.pack)).max(1)
    }

    pub(super) fn slices(&self) -> usize {
        self.shape.out_channels.div_ceil(SLICE)
    }

    /// Values of the weight that a slice covers.
    pub(super) fn slice_len(&self) -> usize {
        SLICE * self.taps * self.values
    }

    /// Used columns of an activation.
    pub(super) fn columns(&self) -> usize {
        self.shape.width.div_ceil(self.skip)
    }

    pub(super) fn worker(&self, cpu: &Cpu) -> Scratch {
        let (tile, lanes) = (cpu.isa().mr(), cpu.isa().lanes());
        let channels = SLICE.min(padded(self.shape.out_channels)).div_ceil(tile) * tile;
        let largest =
            |f: &dyn Fn(&PixelBlock) -> usize| self.blocks.iter().map(f).max().unwrap_or(0);
        let (sums, width) = if self.shape.groups > 1 {
            self.sums_and_inputs(lanes, tile)
        } else {
            (channels * self.taps * padded(self.values), 2 * lanes)
        };
        let x = match self.source {
            Source::Activation => largest(&|b| b.rows) * self.columns() * width,
            Source::Image => {
                let image = self.shape.image();
                let run = image.channels * self.shape.kernel;
                // The last panel of the last pixel reads past its run.
                largest(&|b| b.rows) * image.columns() * image.channels + padded(run)
            }
        };
        Scratch {
            sums,
            x: (x * self.images).next_multiple_of(16),
            dy: channels * largest(&|b| b.pixels) * self.images,
        }
    }

    /// Values of scratch for batches of up to `batch` images.
    pub(in crate::conv::direct) fn scratch_len(&self, cpu: &Cpu, batch: usize) -> usize {
        let worker = self.worker(cpu);
        let chunks = self.chunks(batch);
        let partial = if chunks > 1 { chunks * self.slices() * self.slice_len() } else { 0 };
        cpu.threads() * (worker.sums + worker.x + worker.dy) + partial
    }
}

impl PixelBlock {
    fn new(
        s: &ConvShape,
        source: Source,
        skip: usize,
        images: usize,
        out_rows: Range<usize>,
    ) -> Result<Self, OutOfMemory> {
        let (limit, border, taps) = match source {
            Source::Activation => (s.height.div_ceil(skip), s.padding, s.kernel * s.kernel),
            Source::Image => (s.image().rows(), 0, s.kernel),
        };
        let stride = s.stride / skip;
        let first_row = (out_rows.start * stride).saturating_sub(border).min(limit);
        let past = (out_rows.end - 1) * stride + s.kernel;
        let rows = past.saturating_sub(border).clamp(first_row, limit) - first_row;
        let columns = s.width.div_ceil(skip);
        let pixels = out_rows.len() * s.out_width();
        let mut all = try_with_capacity(taps)?;
        for tap in 0..taps {
            let mut pairs: Pairs = try_with_capacity(images * pixels)?;
            for image in 0..images {
                for y in out_rows.clone() {
                    for x in 0..s.out_width() {
                        let to = image * pixels + (y - out_rows.start) * s.out_width() + x;
                        let from = match source {
                            Source::Activation => input_pixel(s, y, x, tap).map(|(iy, ix)| {
                                (image * rows + iy / skip - first_row) * columns + ix / skip
                            }),
                            Source::Image => {
                                let row = image * rows + y * s.stride + tap - first_row;
                                Some((row * s.image().columns() + x * s.stride) * s.in_channels)
                            }
                        };
                        if let Some(from) = from {
                            pairs.push((offset(from), offset(to)));
                        }
                    }
                }
            }
            all.push(pairs);
        }
        Ok(PixelBlock { first_row, rows, first_out: out_rows.start, pixels, pairs: all })
    }
}
