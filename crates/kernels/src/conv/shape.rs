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
    /// Groups of channels: each group of outputs reads a group of inputs. They divide the channels
    /// of both.
    pub groups: usize,
}

/// How the input of a convolution is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An activation: padded channels, no border (see [`crate::layout`]).
    Activation,
    /// Dense f32 images with a zero border, the input of the network.
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

    /// Input channels of a group.
    pub fn group_inputs(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of a group.
    pub fn group_outputs(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Values of the weight.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.kernel * self.kernel * self.group_inputs()
    }

    /// Multiply-accumulates per image.
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
