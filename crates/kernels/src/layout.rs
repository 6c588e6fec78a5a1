//! The layout of activations, which is decided here alone.
//!
//! An activation is `[n][height][width][channels]` (NHWC), with the channels of a pixel padded
//! with zeros to a multiple of [`CHANNEL_BLOCK`]. Every kernel keeps the padding zero, so no
//! kernel has a channel tail, on any instruction set, and a pixel starts on a cache line.
//!
//! Images, the input of the first convolution, are the exception: they have three channels,
//! and padding them to 16 would multiply that convolution's work by five. They are stored dense,
//! with the convolution's zero border around each image ([`ImageLayout`]), so that the kernel
//! reads each row of a window as one run.
//!
//! Weights of convolutions are `[out][kernel row][kernel column][in / groups]` (OHWI, PyTorch's
//! `channels_last`), dense.

/// Channels of a pixel are padded to a multiple of this: one AVX-512 vector.
pub const CHANNEL_BLOCK: usize = 16;

/// Channels as stored.
///
/// # Panics
/// If there are more than can be counted.
pub const fn padded(channels: usize) -> usize {
    channels.checked_next_multiple_of(CHANNEL_BLOCK).expect("too many channels")
}

/// Dense images with a zero border: `[n][height + 2 border][width + 2 border][channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLayout {
    /// Channels of a pixel.
    pub channels: usize,
    /// Rows of an image, without the border.
    pub height: usize,
    /// Columns of an image, without the border.
    pub width: usize,
    /// Zeros on each side.
    pub border: usize,
}

impl ImageLayout {
    /// Rows with the border.
    pub fn rows(&self) -> usize {
        self.height + 2 * self.border
    }

    /// Columns with the border.
    pub fn columns(&self) -> usize {
        self.width + 2 * self.border
    }

    /// Values from one image to the next.
    pub fn image_len(&self) -> usize {
        self.rows() * self.columns() * self.channels
    }
}
