//! Augmentation of photos, as torchvision defines it.

use resnet_network::{
    preprocess::Interpolation,
    random::{Purpose, Random},
};
use serde::{Deserialize, Serialize};

use crate::photo::{Axis, Photo, resize};

/// The augmentation of photos: a random resized crop, and a flip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transform {
    /// Least and greatest share of a photo's area that a crop has.
    pub scale: [f64; 2],
    /// Least and greatest ratio of a crop's width to its height.
    pub ratio: [f64; 2],
    /// How likely a photo is mirrored.
    pub flip: f64,
}

impl Default for Transform {
    fn default() -> Self {
        Transform { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0], flip: 0.5 }
    }
}

/// What was drawn for one photo in one epoch.
#[derive(Clone, Debug)]
pub struct Choice {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
    mirrored: bool,
}

impl Transform {
    /// Draws the choices for a photo of `[height, width]` pixels.
    pub fn choose(
        &self,
        seed: u64,
        epoch: u64,
        index: u64,
        [height, width]: [usize; 2],
    ) -> Choice {
        let mut random = Random::new(seed, Purpose::Augment, &[epoch, index]);
        let mut between = |[low, high]: [f64; 2]| low + (high - low) * f64::from(random.uniform());
        let area = (height * width) as f64;
        let log = self.ratio.map(f64::ln);
        for _ in 0..10 {
            let target = area * between(self.scale);
            let ratio = between(log).exp();
            let w = (target * ratio).sqrt().round_ties_even() as usize;
            let h = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = (between([0.0, 1.0]) * (height - h + 1) as f64) as usize;
                let left = (between([0.0, 1.0]) * (width - w + 1) as f64) as usize;
                let mirrored = between([0.0, 1.0]) < self.flip;
                return Choice { top, left, height: h, width: w, mirrored };
            }
        }
        let side = height.min(width);
        let mirrored = between([0.0, 1.0]) < self.flip;
        let (top, left) = ((height - side) / 2, (width - side) / 2);
        Choice { top, left, height: side, width: side, mirrored }
    }
}

impl Choice {
    /// Writes the augmented photo to `out`, `[size][size][3]`.
    pub fn write(&self, image: &Photo, scratch: &mut Vec<u8>, size: usize, out: &mut [u8]) {
        let Choice { top, left, height, width, mirrored } = *self;
        scratch.clear();
        for row in image.pixels.chunks_exact(3 * image.width).skip(top).take(height) {
            scratch.extend_from_slice(&row[3 * left..3 * (left + width)]);
        }
        let axis = |len| Axis::new(Interpolation::Bilinear, len, size as u64, 0..size as u64);
        let resized = resize(scratch, width, 3, &axis(height), &axis(width));
        out.copy_from_slice(&resized.expect("there is memory for a photo"));
        if mirrored {
            for row in out.chunks_exact_mut(3 * size) {
                row.as_chunks_mut::<3>().0.reverse();
            }
        }
    }
}
