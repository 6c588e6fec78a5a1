//! Pillow's bilinear resizing.
//!
//! Pillow resizes along rows, then along columns, rounds in between, and uses weights with 22
//! fractional bits. This is bit-identical. From version 13 on, Pillow resizes some tall photos in
//! the other order, which differs by one grey level. Here each row is resized once and added to the
//! output rows that it contributes to, so that only the output is stored, however long the photo
//! is.

use std::ops::Range;

use super::{Photo, PhotoError, memory::with_capacity};

/// Fractional bits of a weight.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);

/// The filter taps of every output pixel along one side.
pub(super) struct Axis(Vec<Taps>);

/// The input pixels of one output pixel, and their weights.
struct Taps {
    pixels: Range<usize>,
    weights: Vec<i32>,
}

impl Axis {
    /// The output pixels `part` of a side that is resized from `len` to `resized` pixels.
    pub(super) fn new(len: usize, resized: u64, part: Range<u64>) -> Axis {
        let scale = len as f64 / resized as f64;
        let reach = scale.max(1.0);
        let taps = part.map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            let start = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(len);
            let weight = |pixel: usize| {
                let distance = (pixel as f64 - centre + 0.5) * (1.0 / reach);
                (1.0 - distance.abs()).max(0.0)
            };
            let sum: f64 = (start..end).map(weight).sum();
            let fixed = |weight: f64| (0.5 + weight / sum * f64::from(1 << BITS)) as i32;
            let weights = (start..end).map(|pixel| fixed(weight(pixel))).collect();
            Taps { pixels: start..end, weights }
        });
        Axis(taps.collect())
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// The pixels `[rows][columns][channels]` of a resized photo.
pub(super) fn resize(photo: &Photo, rows: &Axis, columns: &Axis) -> Result<Vec<u8>, PhotoError> {
    match photo.channels {
        1 => resize_channels::<1>(photo, rows, columns),
        _ => resize_channels::<3>(photo, rows, columns),
    }
}

fn resize_channels<const C: usize>(
    photo: &Photo,
    rows: &Axis,
    columns: &Axis,
) -> Result<Vec<u8>, PhotoError> {
    let width = columns.len() * C;
    let mut sums = with_capacity(rows.len() * width)?;
    sums.resize(rows.len() * width, HALF);
    let mut row = vec![0_u8; width];
    // The output rows that an input row contributes to are contiguous, and move in order.
    let mut open = 0..0;
    let first = rows.0.first().map_or(0, |taps| taps.pixels.start);
    let last = rows.0.last().map_or(0, |taps| taps.pixels.end);
    let pixels = photo.pixels.chunks_exact(photo.width * C);
    for (index, pixels) in pixels.enumerate().take(last).skip(first) {
        while open.end < rows.len() && rows.0[open.end].pixels.start <= index {
            open.end += 1;
        }
        while open.start < open.end && rows.0[open.start].pixels.end <= index {
            open.start += 1;
        }
        resize_row::<C>(pixels, columns, &mut row);
        for out in open.clone() {
            let taps = &rows.0[out];
            let weight = taps.weights[index - taps.pixels.start];
            for (sum, &value) in sums[out * width..][..width].iter_mut().zip(&row) {
                *sum += weight * i32::from(value);
            }
        }
    }
    let mut pixels = with_capacity(sums.len())?;
    pixels.extend(sums.into_iter().map(rounded));
    Ok(pixels)
}

fn resize_row<const C: usize>(pixels: &[u8], columns: &Axis, row: &mut [u8]) {
    for (out, taps) in row.chunks_exact_mut(C).zip(&columns.0) {
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
