//! Pillow's resizing.
//!
//! Pillow resizes along rows, then along columns, rounds in between, and uses weights with 22
//! fractional bits. From version 13 on, it takes the columns first where that is less work. This is
//! bit-identical. Rows first, each row is resized once and added to the output rows that it contributes to,
//! so that only the output is stored, however long the photo is.

use std::{f64::consts::PI, ops::Range};

use resnet_network::{crops::Resampling, preprocess::Interpolation};

use super::{PhotoError, memory::with_capacity};

/// Fractional bits of a weight.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);
/// Pixels of an output, up to which the positions of nearest pixels are summed as in Pillow.
const MAX_SUMMED: u64 = 1 << 20;

/// The resampling along one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Axis {
    /// Of every output pixel.
    taps: Vec<Taps>,
    /// The weights of all of them.
    weights: Vec<i32>,
    /// How many pixels fewer the whole side has than before.
    shrinks: i64,
    /// Whether the output pixels are written in reverse order.
    pub mirrored: bool,
}

/// The input pixels of one output pixel, and where their weights start.
#[derive(Clone, Debug)]
struct Taps {
    pixels: Range<usize>,
    weights: usize,
}

impl Axis {
    /// The output pixels `part` of a side that is resized from `len` to `resized` pixels.
    pub(crate) fn new(
        interpolation: Interpolation,
        len: usize,
        resized: u64,
        part: Range<u64>,
    ) -> Axis {
        let mut axis = Axis::default();
        axis.set(interpolation, 0..len, resized, part);
        axis
    }

    /// Changes to the output pixels `part` of the input pixels `from` of a side, which are resized to
    /// `resized` pixels, with the same memory.
    pub(crate) fn set(
        &mut self,
        interpolation: Interpolation,
        from: Range<usize>,
        resized: u64,
        part: Range<u64>,
    ) {
        let len = from.len();
        let scale = len as f64 / resized as f64;
        self.shrinks = len as i64 - resized as i64;
        self.taps.clear();
        self.weights.clear();
        if interpolation == Interpolation::Nearest {
            self.nearest(from, scale, part);
            return;
        }
        let stretch = scale.max(1.0);
        let reach = support(interpolation) * stretch;
        let mut values = Vec::new();
        for index in part {
            let centre = (index as f64 + 0.5) * scale;
            let start = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(len);
            values.clear();
            values.extend((start..end).map(|pixel| {
                filter(interpolation, (pixel as f64 - centre + 0.5) * (1.0 / stretch))
            }));
            let sum: f64 = values.iter().sum();
            let fixed = |weight: &f64| {
                let scaled = weight / sum * f64::from(1 << BITS);
                (scaled + 0.5_f64.copysign(scaled)) as i32
            };
            let pixels = from.start + start..from.start + end;
            self.taps.push(Taps { pixels, weights: self.weights.len() });
            self.weights.extend(values.iter().map(fixed));
        }
    }

    /// Pillow adds up the scale, which decides ties. That would take long for a strip that is
    /// enlarged a million times.
    fn nearest(&mut self, from: Range<usize>, scale: f64, part: Range<u64>) {
        self.weights.push(1 << BITS);
        let first = if part.end <= MAX_SUMMED { 0 } else { part.start };
        let mut centre = (first as f64 + 0.5) * scale;
        for index in first..part.end {
            let pixel = from.start + (centre as usize).min(from.len() - 1);
            if index >= part.start {
                self.taps.push(Taps { pixels: pixel..pixel + 1, weights: 0 });
            }
            centre += scale;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.taps.len()
    }

    /// The same for a device.
    pub(crate) fn resampling(&self) -> Resampling {
        let taps = self.taps.iter().map(|taps| taps.pixels.len()).max().unwrap_or(0);
        let mut table = Vec::with_capacity(self.len() * (1 + taps));
        for (index, own) in self.taps.iter().enumerate() {
            table.push(own.pixels.start as i32);
            table.extend_from_slice(self.weights(own));
            table.resize((index + 1) * (1 + taps), 0);
        }
        Resampling { taps, table }
    }

    fn weights(&self, taps: &Taps) -> &[i32] {
        &self.weights[taps.weights..][..taps.pixels.len()]
    }

    /// Where an output pixel is written.
    fn place(&self, index: usize) -> usize {
        if self.mirrored { self.taps.len() - 1 - index } else { index }
    }

    /// The input pixels that are read.
    fn read(&self) -> Range<usize> {
        let start = self.taps.first().map_or(0, |taps| taps.pixels.start);
        start..self.taps.last().map_or(start, |taps| taps.pixels.end)
    }
}

/// Where a filter ends, in output pixels, or input pixels if the photo is enlarged.
fn support(interpolation: Interpolation) -> f64 {
    match interpolation {
        Interpolation::Nearest | Interpolation::Box => 0.5,
        Interpolation::Bilinear | Interpolation::Hamming => 1.0,
        Interpolation::Bicubic => 2.0,
        Interpolation::Lanczos => 3.0,
    }
}

/// A filter at a distance from its centre.
fn filter(interpolation: Interpolation, x: f64) -> f64 {
    let distance = x.abs();
    match interpolation {
        // Half open, so that a pixel on an edge counts once.
        Interpolation::Nearest | Interpolation::Box => f64::from(x > -0.5 && x <= 0.5),
        Interpolation::Bilinear => (1.0 - distance).max(0.0),
        Interpolation::Hamming if distance < 1.0 => {
            sinc(distance) * (0.54 + 0.46 * (PI * distance).cos())
        }
        Interpolation::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance.powi(2) + 1.0,
        Interpolation::Bicubic if distance < 2.0 => {
            -0.5 * (((distance - 5.0) * distance + 8.0) * distance - 4.0)
        }
        Interpolation::Lanczos if distance < 3.0 => sinc(x) * sinc(x / 3.0),
        _ => 0.0,
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Memory of a resize, to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResizeScratch {
    sums: Vec<i32>,
    row: Vec<u8>,
}

/// Resizes pixels `[height][width][channels]`, of 1 or 3 channels, to `[rows][columns][channels]`.
pub(crate) fn resize(
    pixels: &[u8],
    width: usize,
    channels: usize,
    rows: &Axis,
    columns: &Axis,
) -> Result<Vec<u8>, PhotoError> {
    let mut resized = with_capacity(rows.len() * columns.len() * channels)?;
    resized.resize(rows.len() * columns.len() * channels, 0);
    let resize = if channels == 1 { resize_into::<1> } else { resize_into::<3> };
    resize(pixels, width, rows, columns, &mut ResizeScratch::default(), &mut resized)?;
    Ok(resized)
}

/// The same, with `C` channels, to `out`.
pub(crate) fn resize_into<const C: usize>(
    pixels: &[u8],
    width: usize,
    rows: &Axis,
    columns: &Axis,
    scratch: &mut ResizeScratch,
    out: &mut [u8],
) -> Result<(), PhotoError> {
    // Pillow's rule.
    if rows.shrinks > 0 && rows.shrinks > 2 * columns.shrinks {
        columns_first::<C>(pixels, width, rows, columns, scratch, out)
    } else {
        rows_first::<C>(pixels, width, rows, columns, scratch, out)
    }
}

fn columns_first<const C: usize>(
    pixels: &[u8],
    width: usize,
    rows: &Axis,
    columns: &Axis,
    scratch: &mut ResizeScratch,
    out: &mut [u8],
) -> Result<(), PhotoError> {
    let ResizeScratch { sums, row } = scratch;
    let (width, out_width) = (width * C, columns.len() * C);
    // Only what is read of a row is summed.
    let read = columns.read().start * C..columns.read().end * C;
    refill(row, read.end, 0)?;
    for (index, taps) in rows.taps.iter().enumerate() {
        refill(sums, read.len(), HALF)?;
        let pixels = pixels[taps.pixels.start * width..].chunks_exact(width);
        for (pixels, &weight) in pixels.zip(rows.weights(taps)) {
            for (sum, &value) in sums.iter_mut().zip(&pixels[read.clone()]) {
                *sum += weight * i32::from(value);
            }
        }
        for (value, &sum) in row[read.clone()].iter_mut().zip(&*sums) {
            *value = rounded(sum);
        }
        resize_row::<C>(row, columns, &mut out[rows.place(index) * out_width..][..out_width]);
    }
    Ok(())
}

fn rows_first<const C: usize>(
    pixels: &[u8],
    width: usize,
    rows: &Axis,
    columns: &Axis,
    scratch: &mut ResizeScratch,
    out: &mut [u8],
) -> Result<(), PhotoError> {
    let ResizeScratch { sums, row } = scratch;
    let out_width = columns.len() * C;
    refill(sums, rows.len() * out_width, HALF)?;
    refill(row, out_width, 0)?;
    // The output rows that an input row contributes to are contiguous, and move in order.
    let mut open = 0..0;
    let read = rows.read();
    let pixels = pixels.chunks_exact(width * C);
    for (index, pixels) in pixels.enumerate().take(read.end).skip(read.start) {
        while open.end < rows.len() && rows.taps[open.end].pixels.start <= index {
            open.end += 1;
        }
        while open.start < open.end && rows.taps[open.start].pixels.end <= index {
            open.start += 1;
        }
        resize_row::<C>(pixels, columns, row);
        for out in open.clone() {
            let taps = &rows.taps[out];
            let weight = rows.weights(taps)[index - taps.pixels.start];
            for (sum, &value) in sums[out * out_width..][..out_width].iter_mut().zip(&*row) {
                *sum += weight * i32::from(value);
            }
        }
    }
    for (index, sums) in sums.chunks_exact(out_width.max(1)).enumerate() {
        let out = &mut out[rows.place(index) * out_width..][..out_width];
        for (value, &sum) in out.iter_mut().zip(sums) {
            *value = rounded(sum);
        }
    }
    Ok(())
}

fn resize_row<const C: usize>(pixels: &[u8], columns: &Axis, row: &mut [u8]) {
    let (pixels, row) = (pixels.as_chunks::<C>().0, row.as_chunks_mut::<C>().0);
    for (index, taps) in columns.taps.iter().enumerate() {
        let mut sums = [HALF; C];
        for (pixel, &weight) in pixels[taps.pixels.clone()].iter().zip(columns.weights(taps)) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += weight * i32::from(value);
            }
        }
        row[columns.place(index)] = sums.map(rounded);
    }
}

/// Sets all of a vector, of this length from now on, to a value.
fn refill<T: Copy>(vector: &mut Vec<T>, len: usize, value: T) -> Result<(), PhotoError> {
    if vector.capacity() < len {
        *vector = with_capacity(len)?;
    }
    vector.clear();
    vector.resize(len, value);
    Ok(())
}

fn rounded(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of products with bytes must fit 32 bits.
    #[test]
    fn weights_are_bounded() {
        use Interpolation::{Bicubic, Bilinear, Box, Hamming, Lanczos, Nearest};
        for interpolation in [Nearest, Box, Bilinear, Hamming, Bicubic, Lanczos] {
            for len in 1..70 {
                for resized in 1..70 {
                    let axis = Axis::new(interpolation, len, resized, 0..resized);
                    for weights in axis.taps.iter().map(|taps| axis.weights(taps)) {
                        let magnitude: i64 = weights.iter().map(|w| i64::from(w.abs())).sum();
                        let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
                        assert!(magnitude < 2 << BITS, "{interpolation:?} {len} {resized}");
                        assert!(
                            (sum - (1 << BITS)).abs() < 500,
                            "{interpolation:?} {len} {resized}"
                        );
                    }
                }
            }
        }
    }
}
