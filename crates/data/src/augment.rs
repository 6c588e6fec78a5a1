//! Data augmentation of training images, on bytes.

use resnet_network::random::Random;
use serde::{Deserialize, Serialize};

/// Random crop after padding with black, then a random horizontal flip
/// (`torchvision.transforms.RandomCrop(size, padding)` and `RandomHorizontalFlip()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augment {
    /// Black pixels on each side before the crop; 0 for no crop.
    pub pad: usize,
    /// Whether images are mirrored with probability 0.5.
    pub flip: bool,
}

impl Default for Augment {
    /// The paper's augmentation of CIFAR-10 (section 4.2): padding of 4 pixels, and flips.
    fn default() -> Self {
        Augment { pad: 4, flip: true }
    }
}

/// Size of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Augment {
    /// No augmentation.
    pub const NONE: Augment = Augment { pad: 0, flip: false };

    /// Writes an augmented copy of `image` to `out`, both `[height][width][channels]`.
    ///
    /// Always draws the same random numbers, so that crops do not depend on whether flips are
    /// enabled.
    pub(crate) fn apply(self, random: &mut Random, image: &[u8], size: Size, out: &mut [u8]) {
        let top = random.below(2 * self.pad as u64 + 1) as usize;
        let left = random.below(2 * self.pad as u64 + 1) as usize;
        let mirrored = random.below(2) == 1 && self.flip;

        let row_len = size.width * size.channels;
        // Columns of the crop inside the image, and the image column where they start.
        let start = self.pad.saturating_sub(left).min(size.width);
        let end = (size.width + self.pad).saturating_sub(left).clamp(start, size.width);
        let source = left.saturating_sub(self.pad).min(size.width);
        for (y, row) in out.chunks_exact_mut(row_len).enumerate() {
            match (y + top).checked_sub(self.pad).filter(|&y| y < size.height) {
                None => row.fill(0),
                Some(source_y) => {
                    let (start, end) = (start * size.channels, end * size.channels);
                    let source = source_y * row_len + source * size.channels;
                    row[..start].fill(0);
                    row[start..end].copy_from_slice(&image[source..][..end - start]);
                    row[end..].fill(0);
                    if mirrored {
                        mirror(row, size.channels);
                    }
                }
            }
        }
    }
}

/// Reverses the pixels of a row.
fn mirror(row: &mut [u8], channels: usize) {
    row.reverse();
    row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
}

#[cfg(test)]
mod tests {
    use resnet_network::random::Purpose;

    use super::*;

    /// Pads, crops and flips pixel by pixel.
    fn reference(augment: Augment, random: &mut Random, image: &[u8], size: Size) -> Vec<u8> {
        let Size { height, width, channels } = size;
        let pad = augment.pad as i64;
        let top = random.below(2 * pad as u64 + 1) as i64;
        let left = random.below(2 * pad as u64 + 1) as i64;
        let mirrored = random.below(2) == 1 && augment.flip;
        let mut out = Vec::new();
        for y in 0..height as i64 {
            for x in 0..width as i64 {
                let x = if mirrored { width as i64 - 1 - x } else { x };
                let (y, x) = (y + top - pad, x + left - pad);
                let inside = (0..height as i64).contains(&y) && (0..width as i64).contains(&x);
                for c in 0..channels {
                    let at = (y * width as i64 + x) * channels as i64 + c as i64;
                    out.push(if inside { image[at as usize] } else { 0 });
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
            // With padding above the image's size, a crop can miss the image.
            for pad in [0, 1, 4, 9] {
                for flip in [false, true] {
                    let augment = Augment { pad, flip };
                    for i in 0..200 {
                        let mut random = Random::new(5, Purpose::Augment, &[i]);
                        let expected = reference(augment, &mut random.clone(), &image, size);
                        let mut out = vec![77; image.len()];
                        augment.apply(&mut random, &image, size, &mut out);
                        assert_eq!(out, expected, "{size:?} {augment:?} {i}");
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
            let mut random = Random::new(0, Purpose::Augment, &[i]);
            Augment::NONE.apply(&mut random, &image, size, &mut out);
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
            let mut random = Random::new(1, Purpose::Augment, &[i]);
            Augment::default().apply(&mut random, &image, size, &mut out);
            counts[out.iter().position(|&v| v == 255).expect("every crop contains the middle")] +=
                1;
        }
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 200.0).powi(2) / 200.0).sum();
        assert!(chi2 < 125.0, "chi-squared of 80 degrees of freedom: {chi2}"); // p = 0.001

        image.fill(0);
        image[0] = 255; // without a crop: stays, or goes to the other end of its row
        let flip = Augment { pad: 0, flip: true };
        let flipped = (0..1000).filter(|&i| {
            flip.apply(&mut Random::new(1, Purpose::Augment, &[i]), &image, size, &mut out);
            assert_ne!(out[0], out[8]);
            out[8] == 255
        });
        let flipped = flipped.count();
        assert!((430..570).contains(&flipped), "{flipped} of 1000");
    }
}
