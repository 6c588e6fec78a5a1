//! Pillow's resizing.
//!
//! Pillow resizes along rows, then along columns, rounds in between, and uses weights with 22
//! fractional bits. From version 13 on, it takes the columns first where that is less work. This is
//! bit-identical. Rows first, each row is resized once and added to the output rows that it contributes to,
//! so that only the output is stored, however long the photo is.

use std::{f64::consts::PI, ops::Range};

use resnet_network::preprocess::Interpolation;

use super::{PhotoError, memory::with_capacity};

/// Fractional bits of a weight.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);
/// Pixels of an output, up to which the positions of nearest pixels are summed as in Pillow.
const MAX_SUMMED: u64 = 1 << 20;

/// The resampling along one side.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// Of every output pixel.
    taps: Vec<Taps>,
    /// How many pixels fewer the whole side has than before.
    shrinks: i64,
}

/// The input pixels of one output pixel, and their weights.
#[derive(Clone, Debug)]
struct Taps {
    pixels: Range<usize>,
    weights: Vec<i32>,
}

impl Axis {
    /// The output pixels `part` of a side that is resized from `len` to `resized` pixels.
    pub(crate) fn new(
        interpolation: Interpolation,
        len: usize,
        resized: u64,
        part: Range<u64>,
    ) -> Axis {
        let scale = len as f64 / resized as f64;
        let shrinks = len as i64 - resized as i64;
        if interpolation == Interpolation::Nearest {
            return Axis { taps: nearest(len, scale, part), shrinks };
        }
        let stretch = scale.max(1.0);
        let reach = support(interpolation) * stretch;
        let taps = part.map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            let start = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(len);
            let weight = |pixel: usize| {
                filter(interpolation, (pixel as f64 - centre + 0.5) * (1.0 / stretch))
            };
            let sum: f64 = (start..end).map(weight).sum();
            let fixed = |weight: f64| {
                let scaled = weight / sum * f64::from(1 << BITS);
                (scaled + 0.5_f64.copysign(scaled)) as i32
            };
            let weights = (start..end).map(|pixel| fixed(weight(pixel))).collect();
            Taps { pixels: start..end, weights }
        });
        Axis { taps: taps.collect(), shrinks }
    }

    pub(super) fn len(&self) -> usize {
        self.taps.len()
    }
}

/// Pillow adds up the scale, which decides ties. That would take long for a strip that is
/// enlarged a million times.
fn nearest(len: usize, scale: f64, part: Range<u64>) -> Vec<Taps> {
    let first = if part.end <= MAX_SUMMED { 0 } else { part.start };
    let mut centre = (first as f64 + 0.5) * scale;
    let mut taps = Vec::new();
    for index in first..part.end {
        let pixel = (centre as usize).min(len - 1);
        if index >= part.start {
            taps.push(Taps { pixels: pixel..pixel + 1, weights: vec![1 << BITS] });
        }
        centre += scale;
    }
    taps
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

/// Resizes pixels `[height][width][channels]`, of 1 or 3 channels, to `[rows][columns][channels]`.
pub(crate) fn resize(
    pixels: &[u8],
    width: usize,
    channels: usize,
    rows: &Axis,
    columns: &Axis,
) -> Result<Vec<u8>, PhotoError> {
    match channels {
        1 => resize_channels::<1>(pixels, width, rows, columns),
        _ => resize_channels::<3>(pixels, width, rows, columns),
    }
}

fn resize_channels<const C: usize>(
    pixels: &[u8],
    width: usize,
    rows: &Axis,
    columns: &Axis,
) -> Result<Vec<u8>, PhotoError> {
    // Pillow's rule.
    if rows.shrinks > 0 && rows.shrinks > 2 * columns.shrinks {
        columns_first::<C>(pixels, width, rows, columns)
    } else {
        rows_first::<C>(pixels, width, rows, columns)
    }
}

fn columns_first<const C: usize>(
    pixels: &[u8],
    width: usize,
    rows: &Axis,
    columns: &Axis,
) -> Result<Vec<u8>, PhotoError> {
    let mut resized = with_capacity(rows.len() * columns.len() * C)?;
    resized.resize(rows.len() * columns.len() * C, 0);
    let width = width * C;
    let (mut sums, mut row) = (with_capacity(width)?, with_capacity(width)?);
    let out = resized.chunks_exact_mut((columns.len() * C).max(1));
    for (out, taps) in out.zip(&rows.taps) {
        sums.clear();
        sums.resize(width, HALF);
        let pixels = pixels[taps.pixels.start * width..].chunks_exact(width);
        for (pixels, &weight) in pixels.zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(pixels) {
                *sum += weight * i32::from(value);
            }
        }
        row.clear();
        row.extend(sums.iter().copied().map(rounded));
        resize_row::<C>(&row, columns, out);
    }
    Ok(resized)
}

fn rows_first<const C: usize>(
    pixels: &[u8],
    width: usize,
    rows: &Axis,
    columns: &Axis,
) -> Result<Vec<u8>, PhotoError> {
    let out_width = columns.len() * C;
    let mut sums = with_capacity(rows.len() * out_width)?;
    sums.resize(rows.len() * out_width, HALF);
    let mut row = vec![0_u8; out_width];
    // The output rows that an input row contributes to are contiguous, and move in order.
    let mut open = 0..0;
    let first = rows.taps.first().map_or(0, |taps| taps.pixels.start);
    let last = rows.taps.last().map_or(0, |taps| taps.pixels.end);
    let pixels = pixels.chunks_exact(width * C);
    for (index, pixels) in pixels.enumerate().take(last).skip(first) {
        while open.end < rows.len() && rows.taps[open.end].pixels.start <= index {
            open.end += 1;
        }
        while open.start < open.end && rows.taps[open.start].pixels.end <= index {
            open.start += 1;
        }
        resize_row::<C>(pixels, columns, &mut row);
        for out in open.clone() {
            let taps = &rows.taps[out];
            let weight = taps.weights[index - taps.pixels.start];
            for (sum, &value) in sums[out * out_width..][..out_width].iter_mut().zip(&row) {
                *sum += weight * i32::from(value);
            }
        }
    }
    let mut resized = with_capacity(sums.len())?;
    resized.extend(sums.into_iter().map(rounded));
    Ok(resized)
}

fn resize_row<const C: usize>(pixels: &[u8], columns: &Axis, row: &mut [u8]) {
    for (out, taps) in row.chunks_exact_mut(C).zip(&columns.taps) {
        let mut sums = [HALF; C];
        let pixels = pixels[taps.pixels.start * C..].chunks_exact(C);
        for (pixel, &weight) in pixels.zip(&taps.weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += weight * i32::from(value);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = rounded(sum);
        }
    }
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
                    for taps in Axis::new(interpolation, len, resized, 0..resized).taps {
                        let magnitude: i64 = taps.weights.iter().map(|w| i64::from(w.abs())).sum();
                        let sum: i64 = taps.weights.iter().map(|&w| i64::from(w)).sum();
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
