//! Converts a photo of any size to a network input.

use resnet_network::preprocess::Preparation;

use super::{
    Photo, PhotoError,
    memory::with_capacity,
    resize::{Axis, resize},
};

impl Photo {
    /// Resizes and crops a photo to pixels `[image_size][image_size][channels]`. They equal those
    /// of torchvision's `Resize` and `CenterCrop` on a PIL image (bilinear, antialiased) within one
    /// grey level.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    ///
    /// # Panics
    /// If the photo is in colour and one channel is wanted: decode it as grey instead.
    pub fn prepare(&self, preparation: Preparation) -> Result<Vec<u8>, PhotoError> {
        let shorter = self.height.min(self.width);
        let axis = |len| axis(preparation, len, shorter);
        let square = resize(self, &axis(self.height), &axis(self.width))?;
        match (self.channels, preparation.channels) {
            (1, 3) => {
                let mut pixels = with_capacity(3 * square.len())?;
                pixels.extend(square.into_iter().flat_map(|grey| [grey; 3]));
                Ok(pixels)
            }
            (have, want) => {
                assert_eq!(have, want, "channels of a photo");
                Ok(square)
            }
        }
    }
}

/// The resampling of one side of a photo. Only the cropped part is resized: the rest of a long
/// strip may be thousands of times as large.
fn axis(preparation: Preparation, len: usize, shorter: usize) -> Axis {
    let side = preparation.image_size as u64;
    let Some(resize) = preparation.resize else {
        return Axis::new(len, side, 0..side);
    };
    // The crop must lie within the resized photo. torchvision rounds the longer side down, and the
    // border to the nearest integer, ties to even.
    let resized = (resize as u64).max(side) * len as u64 / shorter as u64;
    let border = ((resized - side) as f64 / 2.0).round_ties_even() as u64;
    Axis::new(len, resized, border..border + side)
}
