//! What a photo is prepared to before any augmentation. This is what the cache keeps.

use resnet_network::preprocess::Preparation;

use crate::{
    photo::{Photo, PhotoError},
    transform::{CenterCrop, Crop, RandomCrop},
};

/// The prepared form of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In RGB, with the shorter side at most this long, to train on.
    Shrunk(usize),
    /// The network's input, for evaluation.
    Square(Preparation),
}

impl Form {
    /// The form to train on with images of `size` rows and columns. Its shorter side is half as long
    /// again, so that no random crop of 44% of a photo's area or more is enlarged: 336 pixels for 224.
    /// A larger form would hold more detail for smaller crops, and take more memory. A crop that states
    /// the length of the shorter side gets it so, or whole photos if it resizes none.
    pub(crate) fn for_training(size: usize, crop: Crop) -> Form {
        Form::Shrunk(match crop {
            Crop::RandomResized(_) | Crop::Whole => size.saturating_mul(3).div_ceil(2),
            Crop::Random(RandomCrop { resize, .. }) | Crop::Center(CenterCrop { resize }) => {
                resize.unwrap_or(usize::MAX)
            }
        })
    }

    /// The pixels that a JPEG's shorter side needs while it is decoded, if fewer than all are enough:
    /// twice those of the form, so that the resize, not the decoder, decides what is seen. Evaluation
    /// decodes all, since its pixels are those of torchvision.
    pub(crate) fn decoded_side(self) -> Option<usize> {
        match self {
            Form::Shrunk(shorter) => Some(shorter.saturating_mul(2)),
            Form::Square(_) => None,
        }
    }

    /// Whether a photo is decoded to grey.
    pub(crate) fn is_grey(self) -> bool {
        matches!(self, Form::Square(preparation) if preparation.channels == 1)
    }

    /// A decoded photo in this form.
    pub(crate) fn of(self, photo: Photo) -> Result<Photo, PhotoError> {
        match self {
            Form::Shrunk(shorter) => photo.shrunk(shorter),
            Form::Square(preparation) => {
                let pixels = photo.prepare(preparation)?;
                let Preparation { image_size, channels, .. } = preparation;
                Ok(Photo { height: image_size, width: image_size, channels, pixels })
            }
        }
    }
}
