//! Random numbers of the operations.

use resnet_network::random::{Purpose, Random};

/// The streams of random numbers for a photo: an operation that is turned on changes no other.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Stream {
    Crop = 1,
    HorizontalFlip = 2,
    VerticalFlip = 3,
    Rotation = 4,
    Affine = 5,
    ColorJitter = 6,
    Policy = 7,
    Erasing = 8,
    PcaNoise = 9,
}

impl Stream {
    /// That of a photo in an epoch.
    pub(super) fn of_photo(self, seed: u64, epoch: u64, index: u64) -> Random {
        Random::new(seed, Purpose::Transform, &[epoch, index, self as u64])
    }
}

/// A uniform number in a range.
pub(super) fn between(random: &mut Random, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * f64::from(random.uniform())
}
