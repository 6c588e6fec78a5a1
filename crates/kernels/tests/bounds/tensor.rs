//! Dense tensors in f64, of four dimensions.

use resnet_kernels::{Bf16, conv::ConvShape};

/// The tensors of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    X,
    W,
    Dy,
}

impl Part {
    pub(crate) const ALL: [Part; 3] = [Part::X, Part::W, Part::Dy];

    pub(crate) const fn name(self) -> &'static str {
        ["x", "w", "dy"][self as usize]
    }

    /// Images, rows, columns and channels, or output channels, kernel rows and columns, and input
    /// channels.
    pub(crate) fn dims(self, s: &ConvShape, batch: usize) -> [usize; 4] {
        match self {
            Part::X => [batch, s.height, s.width, s.in_channels],
            Part::W => [s.out_channels, s.kernel, s.kernel, s.in_channels],
            Part::Dy => [batch, s.out_height(), s.out_width(), s.out_channels],
        }
    }
}

/// A tensor of a [`Part`]'s dimensions, in the layout of the kernels.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) dims: [usize; 4],
    pub(crate) values: Vec<f64>,
}

impl Tensor {
    /// Multiplies every value by a factor of its place.
    pub(crate) fn multiply(&mut self, mut factor: impl FnMut([usize; 4]) -> f64) {
        let [a, b, c, d] = self.dims;
        let mut values = self.values.iter_mut();
        for i in 0..a {
            for j in 0..b {
                for k in 0..c {
                    for (l, value) in values.by_ref().take(d).enumerate() {
                        *value *= factor([i, j, k, l]);
                    }
                }
            }
        }
    }

    pub(crate) fn largest(&self) -> f64 {
        self.values.iter().fold(0.0, |most, v| v.abs().max(most))
    }

    /// Scales by a power of two, so that no value is larger than `most`.
    pub(crate) fn limit(&mut self, most: f64) {
        let largest = self.largest();
        if largest > most {
            let factor = (most / largest).log2().floor().exp2();
            self.values.iter_mut().for_each(|v| *v *= factor);
        }
    }

    /// Rounds to bfloat16.
    pub(crate) fn round_to_bf16(&mut self) {
        self.values.iter_mut().for_each(|v| *v = to_bf16(*v));
    }

    /// Rounds to f32.
    pub(crate) fn round_to_f32(&mut self) {
        self.values.iter_mut().for_each(|v| *v = f64::from(*v as f32));
    }

    /// Sums of squares over all dimensions but the one.
    pub(crate) fn sums_of_squares(&self, along: usize) -> Vec<f64> {
        let after: usize = self.dims[along + 1..].iter().product();
        let mut sums = vec![0.0; self.dims[along]];
        for (i, v) in self.values.iter().enumerate() {
            sums[i / after % self.dims[along]] += v * v;
        }
        sums
    }
}

/// The nearest bfloat16.
pub(crate) fn to_bf16(v: f64) -> f64 {
    f64::from(Bf16::from_f32(v as f32).to_f32())
}

/// The same in f32.
pub(crate) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}
