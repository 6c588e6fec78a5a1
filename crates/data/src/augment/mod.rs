//! Data augmentation of training images, on bytes.

use resnet_network::{
    crops::Crop,
    random::{Purpose, Random},
};
use serde::{Deserialize, Serialize};

pub(crate) use self::view::Size;
pub use self::{
    flip::Flip,
    view::{PaddingMode, View},
};

mod flip;
mod view;

/// Random crop after padding, then a horizontal flip, then a cutout
/// (`torchvision.transforms.RandomCrop(size, padding)` and `RandomHorizontalFlip()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Pixels that are added on each side before the crop; 0 for no crop.
    pub pad: usize,
    /// What these pixels show.
    #[serde(default, skip_serializing_if = "is_default")]
    pub padding_mode: PaddingMode,
    /// Which images are mirrored.
    pub flip: Flip,
    /// Side of a square of the mean colour that hides a part of each image, in pixels; 0 for none.
    /// The square lies wholly inside the image, all places are equally likely, and the normalised
    /// image is 0 there (DeVries and Taylor 2017, whose squares may overlap the border).
    #[serde(default, skip_serializing_if = "is_default")]
    pub cutout: usize,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Augment {
    /// The paper's augmentation of CIFAR-10 (section 4.2): padding of 4 black pixels, and random flips.
    fn default() -> Self {
        Augment { pad: 4, flip: Flip::Random, ..Augment::NONE }
    }
}

/// The random choices for one image in one epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    view: View,
    /// First row and column of the cutout, and its side.
    cutout: Option<(usize, usize, usize)>,
}

impl Augment {
    /// No augmentation.
    pub const NONE: Augment =
        Augment { pad: 0, padding_mode: PaddingMode::Zeros, flip: Flip::Never, cutout: 0 };

    /// The choices for an image, by its index, in an epoch.
    ///
    /// Draws the same random numbers for every kind of flip, and those of the cutout last, so that
    /// crops depend neither on flips nor on cutouts.
    pub(crate) fn choose(self, seed: u64, epoch: u64, image: u64, size: Size) -> Choice {
        let mut random = Random::new(seed, Purpose::Augment, &[epoch, image]);
        let mut shift = || random.below(2 * self.pad as u64 + 1) as isize - self.pad as isize;
        let (top, left) = (shift(), shift());
        let coin = random.below(2) == 1;
        let mirrored = match self.flip {
            Flip::Never => false,
            Flip::Random => coin,
            Flip::Alternating => flip::alternates(seed, epoch, image),
        };
        let cutout = (self.cutout > 0).then(|| {
            let mut place =
                |side: usize| random.below(side.saturating_sub(self.cutout) as u64 + 1) as usize;
            (place(size.height), place(size.width), self.cutout)
        });
        Choice { view: View { top, left, padding_mode: self.padding_mode, mirrored }, cutout }
    }
}

impl Choice {
    /// The same for a device that keeps the image.
    pub(crate) fn crop(self, image: usize) -> Crop {
        let View { top, left, mirrored, .. } = self.view;
        let cutout = self.cutout.map_or([0; 2], |(top, left, _)| [top as u32, left as u32]);
        Crop { image: image as u32, top: top as i32, left: left as i32, mirrored, cutout }
    }

    /// Writes the augmented `image` to `out`, both `[height][width][channels]`. `mean` is the mean
    /// colour; channels that it lacks are black in a cutout.
    pub(crate) fn write(self, image: &[u8], size: Size, mean: &[u8], out: &mut [u8]) {
        self.view.write(image, size, out);
        let Some((top, left, side)) = self.cutout else { return };
        let rows = out.chunks_exact_mut(size.width * size.channels).skip(top).take(side);
        for row in rows {
            for pixel in row.chunks_exact_mut(size.channels).skip(left).take(side) {
                let colour = mean.iter().chain(std::iter::repeat(&0));
                pixel.iter_mut().zip(colour).for_each(|(value, mean)| *value = *mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: [u8; 3] = [101, 102, 103];

    /// Pads, crops, flips and cuts out pixel by pixel.
    fn reference(
        augment: Augment,
        [seed, epoch, index]: [u64; 3],
        image: &[u8],
        size: Size,
    ) -> Vec<u8> {
        let Size { height, width, channels } = size;
        let mut random = Random::new(seed, Purpose::Augment, &[epoch, index]);
        let pad = augment.pad as i64;
        let top = random.below(2 * pad as u64 + 1) as i64;
        let left = random.below(2 * pad as u64 + 1) as i64;
        let coin = random.below(2) == 1;
        let bit = Random::new(seed, Purpose::Flip, &[index]).below(2) == 1;
        let mirrored = match augment.flip {
            Flip::Never => false,
            Flip::Random => coin,
            Flip::Alternating if epoch % 2 == 1 => !bit,
            Flip::Alternating => bit,
        };
        let n = augment.cutout;
        let corner = (n > 0).then(|| {
            let y = random.below((height - n + 1) as u64) as usize;
            (y, random.below((width - n + 1) as u64) as usize)
        });
        // Walks between the mirrors one step at a time.
        let walk = |to: i64, len: i64| {
            let (mut at, mut step) = (0, to.signum());
            for _ in 0..to.abs() {
                if !(0..len).contains(&(at + step)) {
                    step = -step;
                }
                at += if len == 1 { 0 } else { step };
            }
            at
        };
        let mut out = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let hidden = corner
                    .is_some_and(|(cy, cx)| (cy..cy + n).contains(&y) && (cx..cx + n).contains(&x));
                let x = if mirrored { width - 1 - x } else { x };
                let (mut y, mut x) = (y as i64 + top - pad, x as i64 + left - pad);
                if augment.padding_mode == PaddingMode::Reflect {
                    (y, x) = (walk(y, height as i64), walk(x, width as i64));
                }
                let inside = (0..height as i64).contains(&y) && (0..width as i64).contains(&x);
                for c in 0..channels {
                    let at = (y * width as i64 + x) * channels as i64 + c as i64;
                    out.push(match (hidden, inside) {
                        (true, _) => MEAN.get(c).copied().unwrap_or(0),
                        (false, true) => image[at as usize],
                        (false, false) => 0,
                    });
                }
            }
        }
        out
    }

    #[test]
    fn equals_the_reference() {
        for (height, width, channels) in [(32, 32, 3), (1, 1, 1), (2, 5, 3), (7, 3, 1), (4, 4, 4)] {
            let size = Size { height, width, channels };
            let image: Vec<u8> = (1..=height * width * channels).map(|i| i as u8 | 1).collect();
            for flip in [Flip::Never, Flip::Random, Flip::Alternating] {
                for padding_mode in [PaddingMode::Zeros, PaddingMode::Reflect] {
                    // With padding above the image's size, a crop can miss the image.
                    for (pad, cutout) in [(0, 0), (1, 0), (4, 0), (9, 0), (0, 1), (4, 1), (2, 2)] {
                        let augment = Augment { pad, padding_mode, flip, cutout };
                        if cutout > height.min(width) {
                            continue;
                        }
                        for i in 0..50 {
                            let key = [5, i % 3, i];
                            let expected = reference(augment, key, &image, size);
                            let mut out = vec![77; image.len()];
                            let choice = augment.choose(5, i % 3, i, size);
                            choice.write(&image, size, &MEAN, &mut out);
                            assert_eq!(out, expected, "{size:?} {augment:?} {i}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn none_changes_nothing() {
        let image: Vec<u8> = (0..12).collect();
        let mut out = vec![0; 12];
        let size = Size { height: 2, width: 2, channels: 3 };
        for i in 0..20 {
            Augment::NONE.choose(0, 1, i, size).write(&image, size, &MEAN, &mut out);
            assert_eq!(out, image);
        }
    }

    #[test]
    fn crops_and_flips_are_uniform() {
        // One bright pixel in the middle of 9x9: its position shows crop and flip.
        let size = Size { height: 9, width: 9, channels: 1 };
        let mut image = vec![0; 81];
        image[40] = 255;
        let (mut counts, n) = ([0; 81], 81 * 200);
        let mut out = vec![0; 81];
        for i in 0..n {
            Augment::default().choose(1, 1, i, size).write(&image, size, &[], &mut out);
            counts[out.iter().position(|&v| v == 255).expect("every crop contains the middle")] +=
                1;
        }
        assert!(chi_squared(&counts, 200.0) < 125.0); // 80 degrees of freedom, p = 0.001

        image.fill(0);
        image[0] = 255; // without a crop: stays, or goes to the other end of its row
        for flip in [Flip::Random, Flip::Alternating] {
            let flip = Augment { flip, ..Augment::NONE };
            let flipped = (0..1000).filter(|&i| {
                flip.choose(1, 1, i, size).write(&image, size, &[], &mut out);
                assert_ne!(out[0], out[8]);
                out[8] == 255
            });
            let flipped = flipped.count();
            assert!((430..570).contains(&flipped), "{flipped} of 1000");
        }
    }

    fn chi_squared(counts: &[u32], expected: f64) -> f64 {
        counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn cutouts_are_uniform_and_inside() {
        let size = Size { height: 7, width: 9, channels: 1 };
        let (image, mut out) = (vec![0; 63], vec![0; 63]);
        let mut counts = [0; 35]; // 5 x 7 places of a square of 3 x 3
        for i in 0..35 * 200 {
            let augment = Augment { cutout: 3, ..Augment::NONE };
            augment.choose(2, 1, i, size).write(&image, size, &[9], &mut out);
            assert_eq!(out.iter().filter(|&&v| v == 9).count(), 9);
            let first = out.iter().position(|&v| v == 9).unwrap();
            counts[first / 9 * 7 + first % 9] += 1;
        }
        assert!(chi_squared(&counts, 200.0) < 66.0); // 34 degrees of freedom, p = 0.001
    }

    #[test]
    fn two_epochs_show_each_image_once_mirrored_and_once_not() {
        let size = Size { height: 1, width: 2, channels: 1 };
        let augment = Augment { flip: Flip::Alternating, ..Augment::NONE };
        let view = |seed, epoch, image| {
            let mut out = [0; 2];
            augment.choose(seed, epoch, image, size).write(&[1, 2], size, &[], &mut out);
            out
        };
        for image in 0..100 {
            for epoch in 1..6 {
                assert_ne!(view(3, epoch, image), view(3, epoch + 1, image));
                assert_eq!(view(3, epoch, image), view(3, epoch + 2, image));
            }
        }
        assert!((0..100).any(|image| view(3, 1, image) != view(4, 1, image)));
    }
}
