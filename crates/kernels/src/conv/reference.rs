//! The specification of a convolution: plain loops in f64, on PyTorch's dense layouts
//! (`x[n][in][height][width]`, `w[out][in / groups][kernel][kernel]`, `y[n][out][height][width]`).

use super::ConvShape;

/// Calls `f(x index, w index, y index)` for every product of a convolution.
pub fn for_each_product(s: &ConvShape, batch: usize, mut f: impl FnMut(usize, usize, usize)) {
    let (oh, ow, k) = (s.out_height(), s.out_width(), s.kernel);
    let own = s.group_inputs();
    for n in 0..batch {
        for o in 0..s.out_channels {
            let first = o / s.group_outputs() * own;
            for i in first..first + own {
                for y in 0..oh {
                    for x in 0..ow {
                        for (ky, kx) in (0..k).flat_map(|ky| (0..k).map(move |kx| (ky, kx))) {
                            let (iy, ix) = (y * s.stride + ky, x * s.stride + kx);
                            let inside = |p: usize, size| p >= s.padding && p < size + s.padding;
                            if inside(iy, s.height) && inside(ix, s.width) {
                                let (iy, ix) = (iy - s.padding, ix - s.padding);
                                f(
                                    ((n * s.in_channels + i) * s.height + iy) * s.width + ix,
                                    ((o * own + i - first) * k + ky) * k + kx,
                                    ((n * s.out_channels + o) * oh + y) * ow + x,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `torch.nn.functional.conv2d`.
pub fn forward(s: &ConvShape, batch: usize, x: &[f64], w: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; batch * s.out_channels * s.out_pixels()];
    for_each_product(s, batch, |xi, wi, yi| y[yi] += x[xi] * w[wi]);
    y
}

/// The gradient of the input.
pub fn backward_data(s: &ConvShape, batch: usize, dy: &[f64], w: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; batch * s.in_channels * s.height * s.width];
    for_each_product(s, batch, |xi, wi, yi| dx[xi] += dy[yi] * w[wi]);
    dx
}

/// The gradient of the weights.
pub fn backward_weight(s: &ConvShape, batch: usize, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dw = vec![0.0; s.weight_len()];
    for_each_product(s, batch, |xi, wi, yi| dw[wi] += x[xi] * dy[yi]);
    dw
}
