//! Single operations with their parameters.

use super::{
    affine::{self, Matrix, Sampling},
    color,
};

/// An operation on an image in its final size, with the parameters that were drawn for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// `affine` and `rotate`: see [`affine`](super::affine()) and [`rotation`](super::rotation).
    Affine {
        /// Where the pixels come from.
        matrix: Matrix,
        /// How they are sampled.
        sampling: Sampling,
        /// The colour of those from outside.
        fill: [u8; 3],
    },
    /// `adjust_brightness`, with its factor.
    Brightness(f32),
    /// `adjust_contrast`, with its factor.
    Contrast(f32),
    /// `adjust_saturation`, with its factor.
    Saturation(f32),
    /// `adjust_hue`, with a factor from -0.5 to 0.5.
    Hue(f32),
    /// Adds this to red, green and blue, in levels of a byte, and rounds, ties to even.
    AddColor([f64; 3]),
    /// `adjust_sharpness`, with its factor.
    Sharpness(f32),
    /// `posterize`, with the bits that are kept.
    Posterize(u32),
    /// `solarize`, with its threshold.
    Solarize(f32),
    /// `autocontrast`.
    AutoContrast,
    /// `equalize`.
    Equalize,
}

impl Operation {
    /// Applies the operation to an image `[height][width][3]`; `copy` is scratch.
    pub(super) fn apply(&self, image: &mut [u8], size: [usize; 2], copy: &mut Vec<u8>) {
        match *self {
            Operation::Affine { ref matrix, sampling, fill } => {
                copy.clear();
                copy.extend_from_slice(image);
                affine::transform(copy, size, matrix, sampling, fill, image);
            }
            Operation::Brightness(factor) => color::brightness(image, factor),
            Operation::Contrast(factor) => color::contrast(image, factor),
            Operation::Saturation(factor) => color::saturation(image, factor),
            // As torchvision: cut off to an integer, then modulo 256.
            Operation::Hue(factor) => color::hue(image, (f64::from(factor) * 255.0) as i32 as u8),
            Operation::AddColor(levels) => color::add(image, levels),
            Operation::Sharpness(factor) => color::sharpness(image, size, factor, copy),
            Operation::Posterize(bits) => color::posterize(image, bits),
            Operation::Solarize(threshold) => color::solarize(image, threshold),
            Operation::AutoContrast => color::autocontrast(image),
            Operation::Equalize => color::equalize(image),
        }
    }
}
