//! The dimensions of a batch norm, and how it is cut into chunks.

use crate::{
    check::{exactly, product},
    conv::ScaleShift,
    layout::padded,
};

/// Values of a chunk: 128 KiB of f32, an eighth of a typical L2 cache.
const CHUNK: usize = 32 * 1024;

/// The dimensions of `torch.nn.BatchNorm2d`, without the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormShape {
    /// Pixels of an image.
    pub image_pixels: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance (`eps`).
    pub epsilon: f64,
}

impl BatchNormShape {
    /// The batch norm of a batch of `images` images.
    ///
    /// # Panics
    /// If there are more pixels than memory can hold.
    pub fn batch(&self, images: usize) -> BatchNorm {
        let BatchNormShape { image_pixels, channels, epsilon } = *self;
        let batch_pixels = product(&[images, image_pixels]);
        BatchNorm { batch_pixels, channels, epsilon }
    }
}

/// A batch norm of one batch. Activations are `[batch_pixels][stored channels]`, parameters and
/// running statistics `[channels]`. Statistics are over the pixels of all images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Pixels of all images together.
    pub batch_pixels: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance (`eps`).
    pub epsilon: f64,
}

impl BatchNorm {
    /// Channels as stored.
    ///
    /// # Panics
    /// If there are none, or more than can be counted.
    pub(super) fn stored(&self) -> usize {
        assert!(self.channels > 0, "{self:?}: no channels");
        padded(self.channels)
    }

    pub(super) fn chunk_pixels(&self) -> usize {
        (CHUNK / self.stored()).max(1)
    }

    pub(super) fn chunks(&self) -> usize {
        self.batch_pixels.div_ceil(self.chunk_pixels())
    }

    /// Values of `saved`: mean, 1/std, scale and shift for each stored channel.
    pub fn saved_len(&self) -> usize {
        product(&[4, self.stored()])
    }

    /// Stored values of the batch.
    ///
    /// # Panics
    /// If there are more than memory can hold.
    pub fn stored_len(&self) -> usize {
        product(&[self.batch_pixels, self.stored()])
    }

    /// Values of [`BatchNorm::moments`] and of [`BatchNorm::gradient_sums`]: two for each stored
    /// channel.
    pub fn sums_len(&self) -> usize {
        product(&[2, self.stored()])
    }

    /// Values of scratch, for any call.
    ///
    /// # Panics
    /// If there are no channels, or more values than memory can hold. So do all calls.
    pub fn scratch_len(&self) -> usize {
        self.own_sums_len() + self.passes_len()
    }

    /// Values of scratch for half a pass.
    pub(super) fn passes_len(&self) -> usize {
        product(&[self.chunks().saturating_mul(2).max(3), self.stored()])
    }

    /// Words of scratch that hold the f64 sums of a call which does a whole pass, at any alignment.
    pub(super) fn own_sums_len(&self) -> usize {
        product(&[2, self.sums_len()]) + 1
    }

    /// The batch norm as a scale and a shift, from what [`BatchNorm::statistics`] has saved.
    ///
    /// # Panics
    /// If that is too short.
    pub fn scale_shift<'a>(&self, saved: &'a [f32]) -> ScaleShift<'a> {
        let (scale, shift) = saved[2 * self.stored()..self.saved_len()].split_at(self.stored());
        ScaleShift { scale, shift }
    }

    /// # Panics
    /// If there is not a value for each channel.
    #[track_caller]
    pub(super) fn each_channel(&self, name: &str, values: &[f32]) {
        exactly(name, values.len(), self.channels);
    }

    /// Pixels of a chunk.
    pub(super) fn chunk_len(&self, chunk: usize) -> usize {
        self.chunk_pixels().min(self.batch_pixels - chunk * self.chunk_pixels())
    }

    /// A chunk of a tensor.
    pub(super) fn cut<'a, T>(&self, tensor: &'a [T], chunk: usize) -> &'a [T] {
        let start = chunk * self.chunk_pixels() * self.stored();
        &tensor[start..][..self.chunk_len(chunk) * self.stored()]
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::batch_norm::EPSILON;

    #[test]
    fn pixels_do_not_wrap() {
        let shape = BatchNormShape { image_pixels: 1 << 59, channels: 16, epsilon: EPSILON };
        assert_eq!(shape.batch(1).batch_pixels, 1 << 59);
        for images in [2, 16, usize::MAX] {
            assert!(catch_unwind(|| shape.batch(images)).is_err(), "{images}");
        }
    }
}
