//! Augmentation of photos and of batches, as torchvision defines it for PIL images.
//!
//! [`Transform`] has the settings. [`Transform::choose`] draws what happens to a photo in an epoch, and
//! [`Choice::write`] does it: a function of the choice and the photo alone, whose pixels equal those
//! of torchvision and Pillow for the same drawn parameters. [`Mix`] does the same for a batch: mixup
//! and CutMix.
//!
//! ```
//! use resnet_data::{photo::Photo, transform::{Scratch, Transform}};
//! let photo = Photo { height: 30, width: 40, channels: 3, pixels: vec![7; 30 * 40 * 3] };
//! let (mut scratch, mut out) = (Scratch::default(), vec![0; 16 * 16 * 3]);
//! let choice = Transform::default().choose(0, 1, 5, [30, 40], [16, 16]);
//! choice.write(&photo, [0; 3], &mut scratch, &mut out);
//! assert_eq!(out, [7; 16 * 16 * 3]);
//! ```

mod affine;
mod check;
mod choice;
mod color;
mod crop;
mod erase;
mod mix;
mod operation;
mod policy;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

pub use affine::{Matrix, Sampling, affine, rotation};
pub use choice::{Choice, Scratch};
pub use crop::Window;
pub use erase::Erased;
pub use mix::{Mix, Mixed};
pub use operation::Operation;
pub use settings::{
    Affine, CenterCrop, ColorJitter, Crop, ErasedValue, PcaNoise, Policy, RandAugment, RandomCrop,
    RandomErasing, RandomResizedCrop, Rotation, Shorter, Transform, TrivialAugmentWide,
};
