//! Convolutions in f64, as matrix products: fast enough for many cases.

use resnet_kernels::conv::{ConvShape, Direction};

use crate::tensor::Tensor;

/// Rows and columns of a block of a product.
const BLOCK: usize = 4;

/// A matrix cut into panels of [`BLOCK`] rows, `[panel][depth][row]`, the last filled up with
/// zeros.
struct Panels {
    rows: usize,
    depth: usize,
    values: Vec<f64>,
}

impl Panels {
    /// Of `[row][depth]`.
    fn of_rows(values: &[f64], depth: usize) -> Self {
        let rows = values.len() / depth;
        let mut panels = vec![0.0; rows.div_ceil(BLOCK) * BLOCK * depth];
        for (row, values) in values.chunks_exact(depth).enumerate() {
            let panel = &mut panels[row / BLOCK * BLOCK * depth..];
            for (to, from) in panel[row % BLOCK..].iter_mut().step_by(BLOCK).zip(values) {
                *to = *from;
            }
        }
        Panels { rows, depth, values: panels }
    }

    /// Of `[depth][row]`.
    fn of_columns(values: &[f64], rows: usize) -> Self {
        let depth = values.len() / rows;
        let mut panels = vec![0.0; rows.div_ceil(BLOCK) * BLOCK * depth];
        for (k, values) in values.chunks_exact(rows).enumerate() {
            for (panel, values) in values.chunks(BLOCK).enumerate() {
                panels[(panel * depth + k) * BLOCK..][..values.len()].copy_from_slice(values);
            }
        }
        Panels { rows, depth, values: panels }
    }

    /// `[row of self][row of other]`: sums over the depth.
    fn product(&self, other: &Panels) -> Vec<f64> {
        let mut out = vec![0.0; self.rows * other.rows];
        let panel = BLOCK * self.depth;
        for (i, a) in self.values.chunks_exact(panel).enumerate() {
            for (j, b) in other.values.chunks_exact(panel).enumerate() {
                let mut sums = [[0.0; BLOCK]; BLOCK];
                let (a, b) = (a.as_chunks::<BLOCK>().0, b.as_chunks::<BLOCK>().0);
                for (a, b) in a.iter().zip(b) {
                    for (sums, a) in sums.iter_mut().zip(a) {
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum += a * b;
                        }
                    }
                }
                let columns = BLOCK.min(other.rows - j * BLOCK);
                for (row, sums) in sums.iter().enumerate().take(self.rows - i * BLOCK) {
                    let at = (i * BLOCK + row) * other.rows + j * BLOCK;
                    out[at..at + columns].copy_from_slice(&sums[..columns]);
                }
            }
        }
        out
    }
}

/// The windows of every output pixel, `[pixel][kernel row][kernel column][channel]`, zero where
/// they reach over the border.
fn windows(s: &ConvShape, x: &Tensor) -> Vec<f64> {
    let [images, height, width, channels] = x.dims;
    let taps = s.kernel * s.kernel;
    let mut out = vec![0.0; images * s.out_pixels() * taps * channels];
    for (i, to) in out.chunks_exact_mut(channels).enumerate() {
        let (pixel, tap) = (i / taps, i % taps);
        let (image, pixel) = (pixel / s.out_pixels(), pixel % s.out_pixels());
        let (row, column) = (pixel / s.out_width(), pixel % s.out_width());
        let row = (row * s.stride + tap / s.kernel).wrapping_sub(s.padding);
        let column = (column * s.stride + tap % s.kernel).wrapping_sub(s.padding);
        if row < height && column < width {
            let at = ((image * height + row) * width + column) * channels;
            to.copy_from_slice(&x.values[at..at + channels]);
        }
    }
    out
}

/// For every input pixel the outputs whose windows hold it, `[pixel][kernel row][kernel column]
/// [channel]`, zero where there is none.
fn output_windows(s: &ConvShape, dy: &Tensor) -> Vec<f64> {
    let [images, height, width, channels] = dy.dims;
    let (taps, pixels) = (s.kernel * s.kernel, s.height * s.width);
    let mut out = vec![0.0; images * pixels * taps * channels];
    // The output that has an input under a tap.
    let output = |input: usize, tap: usize, outputs: usize| {
        let from = (input + s.padding).checked_sub(tap)?;
        (from.is_multiple_of(s.stride) && from / s.stride < outputs).then_some(from / s.stride)
    };
    for (i, to) in out.chunks_exact_mut(channels).enumerate() {
        let (pixel, tap) = (i / taps, i % taps);
        let (image, pixel) = (pixel / pixels, pixel % pixels);
        let row = output(pixel / s.width, tap / s.kernel, height);
        let column = output(pixel % s.width, tap % s.kernel, width);
        if let (Some(row), Some(column)) = (row, column) {
            let at = ((image * height + row) * width + column) * channels;
            to.copy_from_slice(&dy.values[at..at + channels]);
        }
    }
    out
}

/// What a direction computes, in the layout of its result.
pub(crate) fn compute(direction: Direction, s: &ConvShape, [x, w, dy]: [&Tensor; 3]) -> Vec<f64> {
    let taps = s.kernel * s.kernel;
    let (inputs, outputs) = (taps * s.in_channels, taps * s.out_channels);
    match direction {
        Direction::Forward => {
            let x = Panels::of_rows(&windows(s, x), inputs);
            x.product(&Panels::of_rows(&w.values, inputs))
        }
        Direction::BackwardData => {
            // `[in][kernel row][kernel column][out]`.
            let mut turned_w = vec![0.0; w.values.len()];
            for (i, v) in w.values.iter().enumerate() {
                let (out, tap, channel) = (i / inputs, i / s.in_channels % taps, i % s.in_channels);
                turned_w[(channel * taps + tap) * s.out_channels + out] = *v;
            }
            let dy = Panels::of_rows(&output_windows(s, dy), outputs);
            dy.product(&Panels::of_rows(&turned_w, outputs))
        }
        Direction::BackwardWeight => {
            let dy = Panels::of_columns(&dy.values, s.out_channels);
            dy.product(&Panels::of_columns(&windows(s, x), inputs))
        }
    }
}
