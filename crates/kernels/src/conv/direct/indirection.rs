//! Indirection buffers: which input values each output pixel reads (Dukhan 2019).
//!
//! A convolution is a sum over *taps*: runs of consecutive input values, each multiplied by its own
//! slice of the weights. In an activation a tap is one pixel of the window with all its channels.
//! In dense images it is a whole row of the window. An indirection buffer lists where every tap of
//! every output pixel starts. So one kernel serves every kernel size, stride and direction, and no
//! input is copied to be padded.

use crate::{
    conv::{
        pack::Runs,
        shape::{ConvShape, Source},
    },
    layout::padded,
    memory::{OutOfMemory, try_with_capacity},
};

/// A tap in the padding.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Output pixels that read the same number of taps with the same weights.
#[derive(Debug)]
pub(super) struct IndirectionBuffer {
    /// The window position (row-major) of each tap: its place in the weight.
    pub(super) windows: Vec<usize>,
    /// Values that a tap reads.
    pub(super) run: usize,
    /// `[pixel][tap]`: where the tap starts in its image, or [`OUTSIDE`].
    pub(super) starts: Vec<u32>,
    /// Where each output pixel starts in its image.
    pub(super) outputs: Vec<u32>,
}

impl IndirectionBuffer {
    /// Number of taps.
    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }

    /// Number of output pixels in an image.
    pub(super) fn pixels(&self) -> usize {
        self.outputs.len()
    }

    /// The order in which weights are packed.
    pub(super) fn runs(&self) -> Runs<'_> {
        Runs { windows: &self.windows, run: self.run }
    }

    /// The forward pass.
    pub(super) fn forward(s: &ConvShape, source: Source) -> Result<IndirectionBuffer, OutOfMemory> {
        let (windows, run) = match source {
            Source::Activation => (s.kernel * s.kernel, padded(s.in_channels)),
            Source::Image => (s.kernel, s.kernel * s.in_channels),
        };
        let mut starts = try_with_capacity(s.out_pixels() * windows)?;
        for y in 0..s.out_height() {
            for x in 0..s.out_width() {
                match source {
                    Source::Activation => {
                        for window in 0..windows {
                            starts.push(activation_start(s, y, x, window));
                        }
                    }
                    Source::Image => {
                        let image = s.image();
                        for row in 0..s.kernel {
                            let pixel = (y * s.stride + row) * image.columns() + x * s.stride;
                            starts.push(offset(pixel * s.in_channels));
                        }
                    }
                }
            }
        }
        let stored = padded(s.out_channels);
        let mut outputs = try_with_capacity(s.out_pixels())?;
        outputs.extend((0..s.out_pixels()).map(|pixel| offset(pixel * stored)));
        Ok(IndirectionBuffer { windows: (0..windows).collect(), run, starts, outputs })
    }

    /// The gradient of the input: a convolution of the gradient of the output for each of the
    /// `stride * stride` residues of an input pixel. Input pixels of one residue have the same
    /// positions of the window.
    pub(super) fn backward_data(s: &ConvShape) -> Result<Vec<IndirectionBuffer>, OutOfMemory> {
        let (run, stored) = (padded(s.out_channels), padded(s.in_channels));
        let mut tables = try_with_capacity(residues(s).count())?;
        for (ry, rx) in residues(s) {
            let meets = |r: usize, k: usize| {
                (r + s.padding + s.stride * s.kernel - k).is_multiple_of(s.stride)
            };
            let windows: Vec<usize> = (0..s.kernel * s.kernel)
                .filter(|w| meets(ry, w / s.kernel) && meets(rx, w % s.kernel))
                .collect();
            let pixels = (s.height - ry).div_ceil(s.stride) * (s.width - rx).div_ceil(s.stride);
            let (mut starts, mut outputs) =
                (try_with_capacity(pixels * windows.len())?, try_with_capacity(pixels)?);
            for y in (ry..s.height).step_by(s.stride) {
                for x in (rx..s.width).step_by(s.stride) {
                    outputs.push(offset((y * s.width + x) * stored));
                    for window in &windows {
                        let place = |p: usize, k: usize, size: usize| {
                            let p = (p + s.padding).checked_sub(k)? / s.stride;
                            (p < size).then_some(p)
                        };
                        let oy = place(y, window / s.kernel, s.out_height());
                        let ox = place(x, window % s.kernel, s.out_width());
                        starts.push(match (oy, ox) {
                            (Some(oy), Some(ox)) => offset((oy * s.out_width() + ox) * run),
                            _ => OUTSIDE,
                        });
                    }
                }
            }
            tables.push(IndirectionBuffer { windows, run, starts, outputs });
        }
        Ok(tables)
    }

    /// Bytes of the buffer of the forward pass and, with `backward_data`, of those of
    /// [`IndirectionBuffer::backward_data`], or a little more.
    pub(super) fn bytes(s: &ConvShape, source: Source, backward_data: bool) -> usize {
        let windows = match source {
            Source::Activation => s.kernel * s.kernel,
            Source::Image => s.kernel,
        };
        let (mut values, mut lists) = (s.out_pixels().saturating_mul(windows + 1), 0_usize);
        if backward_data {
            let met = s.kernel.div_ceil(s.stride);
            let back = (s.height * s.width).saturating_mul(met * met + 1);
            values = values.saturating_add(back);
            // Each residue has its own lists.
            let each =
                size_of::<IndirectionBuffer>() + met * met * size_of::<usize>() + 3 * ALLOCATION;
            lists = residues(s).count().saturating_mul(each);
        }
        values.saturating_mul(size_of::<u32>()).saturating_add(lists)
    }
}

/// Bytes that an allocator may add to a short list.
const ALLOCATION: usize = 32;

/// The residues of input pixels: of row and column.
fn residues(s: &ConvShape) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (rows, columns) = (s.stride.min(s.height), s.stride.min(s.width));
    (0..rows * columns).map(move |residue| (residue / columns, residue % columns))
}

/// The input pixel under a position of the window, if it is in the image.
pub(super) fn input_pixel(
    s: &ConvShape,
    y: usize,
    x: usize,
    window: usize,
) -> Option<(usize, usize)> {
    let iy = (y * s.stride + window / s.kernel).checked_sub(s.padding)?;
    let ix = (x * s.stride + window % s.kernel).checked_sub(s.padding)?;
    (iy < s.height && ix < s.width).then_some((iy, ix))
}

fn activation_start(s: &ConvShape, y: usize, x: usize, window: usize) -> u32 {
    match input_pixel(s, y, x, window) {
        Some((iy, ix)) => offset((iy * s.width + ix) * padded(s.in_channels)),
        None => OUTSIDE,
    }
}

pub(super) fn offset(value: usize) -> u32 {
    u32::try_from(value).ok().filter(|&v| v != OUTSIDE).expect("an image holds under 2^32 values")
}
