//! From a photo of any size to what a network takes.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use super::Photo;
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

    /// The pixels `[image_size][image_size][channels]` of a photo, within one grey level of
    /// torchvision's `Resize` and `CenterCrop` of a PIL image (bilinear, antialiased).
    ///
    /// # Panics
    /// If a photo in colour is to become grey: decode it so.
    pub fn prepare(&self, photo: &Photo) -> Vec<u8> {
        let square = resized(photo, self.part(photo), self.image_size);
        match (photo.channels, self.channels) {
            (1, 3) => square.into_iter().flat_map(|grey| [grey; 3]).collect(),
            (have, want) => {
                assert_eq!(have, want, "channels of a photo");
                square
            }
        }
    }

    /// The part of a photo that the result shows. Only that part is resized: the rest of a long
    /// strip may be thousands of times as large.
    fn part(&self, photo: &Photo) -> Part {
        let (width, height) = (photo.width as f64, photo.height as f64);
        let Some(resize) = self.resize else {
            return Part { left: 0.0, top: 0.0, width, height };
        };
        // The middle must lie within the resized photo.
        let resize = resize.max(self.image_size);
        let shorter = photo.width.min(photo.height);
        // Where side `len` of the photo begins and ends: torchvision rounds the longer side down,
        // and the border that is cut off to the nearest, ties to even.
        let along = |len: usize| {
            let resized = resize as u128 * len as u128 / shorter as u128;
            let border = ((resized - self.image_size as u128) as f64 / 2.0).round_ties_even();
            let scale = len as f64 / resized as f64;
            let start = border * scale;
            (start, (self.image_size as f64 * scale).min(len as f64 - start))
        };
        let ((left, width), (top, height)) = (along(photo.width), along(photo.height));
        Part { left, top, width, height }
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

/// A part of a photo, in its pixels.
struct Part {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// A part of a photo, resized to a square as Pillow's `resize(box=...)` does.
fn resized(photo: &Photo, part: Part, side: usize) -> Vec<u8> {
    let kind = if photo.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let pixels = |n: usize| u32::try_from(n).expect("sides of an image");
    let source = ImageRef::new(pixels(photo.width), pixels(photo.height), &photo.pixels, kind);
    let mut square = Image::new(pixels(side), pixels(side), kind);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(part.left, part.top, part.width, part.height);
    Resizer::new()
        .resize(&source.expect("as many bytes as pixels"), &mut square, &options)
        .expect("the part lies within the photo");
    square.into_vec()
}
