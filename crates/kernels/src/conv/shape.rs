//! The dimensions of a convolution.

use crate::layout::{ImageLayout, padded};

/// `torch.nn.Conv2d` with a square kernel, without the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between output pixels.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
}

/// How a convolution's input is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An activation: padded channels, no border (see [`crate::layout`]).
    Activation,
    /// Dense images that carry the zero border, the input of the network.
    Image,
}

impl ConvShape {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Pixels of an output image.
    pub fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Values of the weight.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.kernel * self.kernel * self.in_channels
    }

    /// Multiply-accumulates an image.
    pub fn macs(&self) -> usize {
        self.weight_len() * self.out_pixels()
    }

    /// Stored values of an output image.
    pub fn out_len(&self) -> usize {
        self.out_pixels() * padded(self.out_channels)
    }

    /// Stored values of an input image.
    pub fn in_len(&self, source: Source) -> usize {
        match source {
            Source::Activation => self.height * self.width * padded(self.in_channels),
            Source::Image => self.image().image_len(),
        }
    }

    /// The input as [`Source::Image`].
    pub fn image(&self) -> ImageLayout {
        ImageLayout {
            channels: self.in_channels,
            height: self.height,
            width: self.width,
            border: self.padding,
        }
    }
}

/// A batch norm and a ReLU, applied to an activation as it is read: `relu(x * scale + shift)`, with
/// a scale and a shift for each stored channel.
#[derive(Clone, Copy, Debug)]
pub struct ScaleShift<'a> {
    /// `weight / std`.
    pub scale: &'a [f32],
    /// `bias - mean * weight / std`.
    pub shift: &'a [f32],
}

/// An activation as a convolution reads it.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a, X> {
    /// As stored.
    pub values: &'a [X],
    /// What happens to them on the way, if [`Conv::reads_through_norm`](super::Conv).
    pub norm: Option<ScaleShift<'a>>,
}

impl<X> Activation<'_, X> {
    /// Checks the lengths of scale and shift.
    pub(super) fn check(&self, stored: usize) {
        let fits = |n: ScaleShift<'_>| n.scale.len() == stored && n.shift.len() == stored;
        assert!(self.norm.is_none_or(fits), "a scale and a shift for every stored channel");
    }
}

impl<'a, X> From<&'a [X]> for Activation<'a, X> {
    fn from(values: &'a [X]) -> Self {
        Activation { values, norm: None }
    }
}

impl<'a, X> From<&'a Vec<X>> for Activation<'a, X> {
    fn from(values: &'a Vec<X>) -> Self {
        Activation { values, norm: None }
    }
}
