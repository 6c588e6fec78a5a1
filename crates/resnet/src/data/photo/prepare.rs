//! From a photo of any size to what a network takes.

use super::{
    Photo,
    resize::{Axis, resize},
};
use crate::{
    checkpoint::{IMAGENET_NORMALISATION, Model},
    data::{Normalisation, cifar10},
    models::Family,
};

/// How a photo becomes the square that a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Rows and columns of the result.
    pub image_size: usize,
    /// Length that the shorter side gets before the middle is cut out; without one the whole photo
    /// is resized to the square, whatever its shape.
    pub resize: Option<usize>,
    /// Channels of the result: 1 (grey) or 3 (RGB).
    pub channels: usize,
}

impl Preparation {
    /// That of a model, if its network takes grey or RGB images.
    pub fn of(model: &Model) -> Option<Preparation> {
        let channels = model.network.graph().in_channels();
        let Model { image_size, resize, .. } = *model;
        matches!(channels, 1 | 3).then_some(Preparation { image_size, resize, channels })
    }

    /// Bytes of the result.
    pub fn image_len(&self) -> usize {
        self.image_size * self.image_size * self.channels
    }

    /// The pixels `[image_size][image_size][channels]` of a photo: those of torchvision's `Resize`
    /// and `CenterCrop` of a PIL image (bilinear, antialiased), within one grey level.
    ///
    /// # Panics
    /// If a photo in colour is to become grey: decode it so.
    pub fn prepare(&self, photo: &Photo) -> Vec<u8> {
        let shorter = photo.height.min(photo.width);
        let axis = |len| self.axis(len, shorter);
        let square = resize(photo, &axis(photo.height), &axis(photo.width));
        match (photo.channels, self.channels) {
            (1, 3) => square.into_iter().flat_map(|grey| [grey; 3]).collect(),
            (have, want) => {
                assert_eq!(have, want, "channels of a photo");
                square
            }
        }
    }

    /// One side of a photo. Only what the result shows of it is resized: the rest of a long strip
    /// may be thousands of times as large.
    fn axis(&self, len: usize, shorter: usize) -> Axis {
        let side = self.image_size as u64;
        let Some(resize) = self.resize else {
            return Axis::new(len, side, 0..side);
        };
        // The middle must lie within the resized photo. torchvision rounds the longer side down,
        // and what is cut off to the nearest, ties to even.
        let resized = (resize as u64).max(side) * len as u64 / shorter as u64;
        let border = ((resized - side) as f64 / 2.0).round_ties_even() as u64;
        Axis::new(len, resized, border..border + side)
    }
}

/// How images for a model that does not say are usually normalised, and whose way that is; none
/// for grey images.
pub fn usual_normalisation(model: &Model) -> Option<(&'static str, Normalisation)> {
    let is_colour = model.network.graph().in_channels() == 3;
    is_colour.then(|| match model.arch.family {
        Family::ImageNet => {
            let [mean, std] = IMAGENET_NORMALISATION.map(Vec::from);
            ("ImageNet", Normalisation { mean, std })
        }
        _ => ("CIFAR-10", cifar10::normalisation()),
    })
}
