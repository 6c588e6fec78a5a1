//! Operations without parameters.

use resnet_kernels::{
    elementwise::PadShortcut,
    layout::padded,
    pooling::{AvgPool, MaxPool},
};

use crate::program::Parameterless;

/// For each output pixel, the pixels of an image that a max pool's window covers.
fn windows(pool: &MaxPool) -> Vec<Vec<usize>> {
    let p = *pool;
    let side = |len: usize| (len + 2 * p.padding - p.kernel) / p.stride + 1;
    let (rows, columns) = (side(p.height), side(p.width));
    let window = |to: usize| {
        let tap = |tap: usize| {
            let row = (to / columns * p.stride + tap / p.kernel).checked_sub(p.padding)?;
            let column = (to % columns * p.stride + tap % p.kernel).checked_sub(p.padding)?;
            (row < p.height && column < p.width).then_some(row * p.width + column)
        };
        (0..p.kernel * p.kernel).filter_map(tap).collect()
    };
    (0..rows * columns).map(window).collect()
}

/// For each pixel of an image, the output pixel whose window has it, and for each output pixel the
/// number of those in its window.
fn cells(p: &AvgPool) -> (Vec<usize>, Vec<f64>) {
    let columns = p.width.div_ceil(p.kernel);
    let cell = |at: usize| at / p.width / p.kernel * columns + at % p.width / p.kernel;
    let to: Vec<usize> = (0..p.height * p.width).map(cell).collect();
    let mut counts = vec![0.0; p.height.div_ceil(p.kernel) * columns];
    to.iter().for_each(|&to| counts[to] += 1.0);
    (to, counts)
}

/// The output of `n` images.
pub(super) fn forward(op: &Parameterless, x: &[f64], n: usize) -> Vec<f64> {
    match op {
        Parameterless::AddRelu { image_len } => x[..n * image_len].to_vec(),
        Parameterless::Smooth { function, image_len } => {
            x[..n * image_len].iter().map(|&x| function.value(x)).collect()
        }
        Parameterless::MaxPool(pool) => {
            let (stored, pixels) = (padded(pool.channels), pool.height * pool.width);
            let windows = windows(pool);
            let mut out = Vec::new();
            for image in x.chunks_exact(pixels * stored).take(n) {
                for window in &windows {
                    out.extend((0..stored).map(|c| {
                        let values = window.iter().map(|at| image[at * stored + c]);
                        values.fold(f64::NEG_INFINITY, f64::max)
                    }));
                }
            }
            out
        }
        Parameterless::AvgPool(pool) => {
            let stored = padded(pool.channels);
            let (cells, counts) = cells(pool);
            let mut out = vec![0.0; n * counts.len() * stored];
            for (pixel, x) in x.chunks_exact(stored).take(n * cells.len()).enumerate() {
                let (image, to) = (pixel / cells.len(), cells[pixel % cells.len()]);
                let out = &mut out[(image * counts.len() + to) * stored..][..stored];
                out.iter_mut().zip(x).for_each(|(out, x)| *out += x / counts[to]);
            }
            out
        }
        Parameterless::GlobalAvgPool(pool) => {
            let stored = padded(pool.channels);
            let images = x.chunks_exact(pool.pixels * stored).take(n);
            let mean = |image: &[f64], c: usize| {
                image.iter().skip(c).step_by(stored).sum::<f64>() / pool.pixels as f64
            };
            images.flat_map(|image| (0..stored).map(move |c| mean(image, c))).collect()
        }
        Parameterless::GlobalMaxPool(pool) => {
            let stored = padded(pool.channels);
            let images = x.chunks_exact(pool.pixels * stored).take(n);
            let most = |image: &[f64], c: usize| {
                image.iter().skip(c).step_by(stored).copied().fold(f64::NEG_INFINITY, f64::max)
            };
            images.flat_map(|image| (0..stored).map(move |c| most(image, c))).collect()
        }
        Parameterless::PadShortcut(s) => {
            let (ins, outs) = (padded(s.in_channels), padded(s.out_channels));
            let before = (s.out_channels - s.in_channels) / 2;
            let kept = kept_pixels(s);
            let mut out = vec![0.0; n * kept.len() * outs];
            for (to, from) in kept_of_all(s, &kept, n) {
                let from = &x[from * ins..][..s.in_channels];
                out[to * outs + before..][..s.in_channels].copy_from_slice(from);
            }
            out
        }
    }
}

/// The gradient of the input, from that of the output.
pub(super) fn backward(op: &Parameterless, x: &[f64], dy: &[f64], n: usize) -> Vec<f64> {
    match op {
        Parameterless::AddRelu { image_len } => dy[..n * image_len].to_vec(),
        Parameterless::Smooth { function, image_len } => {
            let slopes = x[..n * image_len].iter().map(|&x| function.slope(x));
            slopes.zip(dy).map(|(slope, d)| slope * d).collect()
        }
        Parameterless::MaxPool(pool) => {
            let (stored, pixels) = (padded(pool.channels), pool.height * pool.width);
            let windows = windows(pool);
            let mut dx = vec![0.0; n * pixels * stored];
            for image in 0..n {
                let x = &x[image * pixels * stored..][..pixels * stored];
                for (to, window) in windows.iter().enumerate() {
                    for c in 0..stored {
                        let value = |at: &usize| x[at * stored + c];
                        let top = window.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
                        let d = dy[(image * windows.len() + to) * stored + c];
                        // The first of equal values, as in PyTorch; none if all are NaN.
                        let Some(first) = window.iter().find(|at| value(at) == top) else {
                            continue;
                        };
                        dx[(image * pixels + first) * stored + c] += d;
                    }
                }
            }
            dx
        }
        Parameterless::AvgPool(pool) => {
            let stored = padded(pool.channels);
            let (cells, counts) = cells(pool);
            let d = |i: usize| {
                let (pixel, channel) = (i / stored, i % stored);
                let (image, to) = (pixel / cells.len(), cells[pixel % cells.len()]);
                dy[(image * counts.len() + to) * stored + channel] / counts[to]
            };
            (0..n * cells.len() * stored).map(d).collect()
        }
        Parameterless::GlobalAvgPool(pool) => {
            let stored = padded(pool.channels);
            let pixel = |i: usize| i / stored / pool.pixels * stored + i % stored;
            let d = |i: usize| dy[pixel(i)] / pool.pixels as f64;
            (0..n * pool.pixels * stored).map(d).collect()
        }
        Parameterless::GlobalMaxPool(pool) => {
            let stored = padded(pool.channels);
            let mut dx = vec![0.0; n * pool.pixels * stored];
            for (i, d) in dy.iter().enumerate().take(n * stored) {
                let pixel = |p: usize| (i / stored * pool.pixels + p) * stored + i % stored;
                let value = |p: usize| x[pixel(p)];
                let top = (0..pool.pixels).map(value).fold(f64::NEG_INFINITY, f64::max);
                if let Some(first) = (0..pool.pixels).find(|&p| value(p) == top) {
                    dx[pixel(first)] = *d;
                }
            }
            dx
        }
        Parameterless::PadShortcut(s) => {
            let (ins, outs) = (padded(s.in_channels), padded(s.out_channels));
            let before = (s.out_channels - s.in_channels) / 2;
            let kept = kept_pixels(s);
            let mut dx = vec![0.0; n * s.height * s.width * ins];
            for (to, from) in kept_of_all(s, &kept, n) {
                let d = &dy[to * outs + before..][..s.in_channels];
                dx[from * ins..][..s.in_channels].copy_from_slice(d);
            }
            dx
        }
    }
}

/// The pixels of an image that a shortcut keeps, in order.
fn kept_pixels(s: &PadShortcut) -> Vec<usize> {
    let rows = (0..s.height).step_by(s.stride);
    rows.flat_map(|row| (0..s.width).step_by(s.stride).map(move |c| row * s.width + c)).collect()
}

/// Pairs of output and input pixels over all images.
fn kept_of_all<'k>(
    s: &PadShortcut,
    kept: &'k [usize],
    n: usize,
) -> impl Iterator<Item = (usize, usize)> + 'k {
    let pixels = s.height * s.width;
    (0..n * kept.len()).map(move |to| (to, to / kept.len() * pixels + kept[to % kept.len()]))
}
