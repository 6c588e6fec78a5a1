//! Mixtures of the images of a batch: mixup and CutMix, as torchvision defines them.

use std::ops::Range;

use resnet_network::random::{Purpose, Random};
use serde::{Deserialize, Serialize};

use super::check::within;

/// Mixes each image of a batch with the one before it (the first one with the last), in shares
/// `lambda` and `1 - lambda`. `lambda` has the distribution Beta(alpha, alpha), and a batch has one.
/// With both kinds, each is equally likely (`RandomChoice([MixUp(), CutMix()])`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// The alpha of mixup, where colours are mixed (Zhang et al. 2018, arXiv 1710.09412); 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub mixup: f64,
    /// The alpha of CutMix, where a rectangle shows the other image (Yun et al. 2019, arXiv
    /// 1905.04899); 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub cutmix: f64,
}

fn is_zero(&value: &f64) -> bool {
    value == 0.0
}

/// How the images of one batch are mixed.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixed {
    /// Each keeps this share of its colours.
    Blend(f64),
    /// These rows and columns show the other image.
    Patch {
        /// Rows and columns.
        part: [Range<usize>; 2],
        /// The share of the area that is left.
        share: f64,
    },
}

impl Mix {
    /// Checks the values.
    ///
    /// # Errors
    /// A message that names the field.
    pub fn check(&self) -> Result<(), String> {
        within("mixup", self.mixup, 0.0..=1e3)?;
        within("cutmix", self.cutmix, 0.0..=1e3)
    }

    /// The choice for a batch, by its index, in an epoch, with images of `[height, width]` pixels. None
    /// without mixup and CutMix.
    pub fn choose(&self, seed: u64, epoch: u64, batch: u64, size: [usize; 2]) -> Option<Mixed> {
        let mut random = Random::new(seed, Purpose::Mix, &[epoch, batch]);
        let cuts = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return None,
            (true, true) => random.below(2) == 1,
            (_, cutmix) => cutmix,
        };
        let share = beta(if cuts { self.cutmix } else { self.mixup }, &mut random);
        if !cuts {
            return Some(Mixed::Blend(share));
        }
        // The rectangle's centre is anywhere; what lies outside of the image is lost.
        let half = 0.5 * (1.0 - share).sqrt();
        let part = size.map(|len| {
            let centre = random.below(len as u64) as usize;
            let half = (half * len as f64) as usize;
            centre.saturating_sub(half)..(centre + half).min(len)
        });
        let hidden = (part[0].len() * part[1].len()) as f64 / (size[0] * size[1]) as f64;
        Some(Mixed::Patch { part, share: 1.0 - hidden })
    }
}

impl Mixed {
    /// The share that each image keeps.
    pub fn share(&self) -> f64 {
        match *self {
            Mixed::Blend(share) | Mixed::Patch { share, .. } => share,
        }
    }

    /// Mixes the images `[n][height][width][channels]`. Mixed colours are rounded to the nearest byte,
    /// as those of photos are, so they differ from those of floats by at most half a level. `first` is
    /// scratch.
    ///
    /// # Panics
    /// If there is not a whole number of images, or a part lies outside of them.
    pub fn write(&self, pixels: &mut [u8], size: [usize; 2], channels: usize, first: &mut Vec<u8>) {
        let len = size[0] * size[1] * channels;
        assert!(len > 0 && pixels.len().is_multiple_of(len), "whole images");
        let n = pixels.len() / len;
        let Some(last) = n.checked_sub(1) else { return };
        first.clear();
        first.extend_from_slice(&pixels[last * len..]);
        let row = size[1] * channels;
        let tables = [self.share(), 1.0 - self.share()].map(products);
        let mix = |own: &mut [u8], other: &[u8]| match self {
            Mixed::Blend(_) => {
                for (own, &other) in own.iter_mut().zip(other) {
                    let sum = tables[0][usize::from(*own)] + tables[1][usize::from(other)];
                    *own = ((sum + (1 << (BITS - 1))) >> BITS) as u8;
                }
            }
            Mixed::Patch { part: [rows, columns], .. } => {
                for y in rows.clone() {
                    let seen = y * row + columns.start * channels..y * row + columns.end * channels;
                    own[seen.clone()].copy_from_slice(&other[seen]);
                }
            }
        };
        // From the last on, so that each meets the one before it as it was.
        for i in (1..n).rev() {
            let (others, own) = pixels.split_at_mut(i * len);
            mix(&mut own[..len], &others[(i - 1) * len..]);
        }
        mix(&mut pixels[..len], first);
    }

    /// The mixed targets of images with these labels, `[n][classes]`: how likely each class is.
    ///
    /// # Panics
    /// If a label is not below `classes`.
    pub fn targets(&self, labels: &[u32], classes: usize, targets: &mut Vec<f32>) {
        targets.clear();
        targets.resize(labels.len() * classes, 0.0);
        let before = labels.last().into_iter().chain(labels);
        let rows = targets.chunks_exact_mut(classes.max(1));
        for ((row, &label), &other) in rows.zip(labels).zip(before) {
            row[label as usize] += self.share() as f32;
            row[other as usize] += (1.0 - self.share()) as f32;
        }
    }
}

/// Fractional bits of a mixed colour.
const BITS: u32 = 22;

/// A share of each byte, with fractional bits.
fn products(share: f64) -> [u32; 256] {
    let one = share * f64::from(1 << BITS);
    std::array::from_fn(|byte| (byte as f64 * one).round() as u32)
}

/// Beta(alpha, alpha): `X / (X + Y)` for `X` and `Y` of the gamma distribution.
fn beta(alpha: f64, random: &mut Random) -> f64 {
    let (x, y) = (log_gamma(alpha, random), log_gamma(alpha, random));
    1.0 / (1.0 + (y - x).exp())
}

/// The logarithm of a number from the gamma distribution (Marsaglia and Tsang 2000). Below 1, the
/// numbers of `alpha + 1` are scaled by `U^(1 / alpha)`, which may be too small for a number but not
/// for its logarithm.
fn log_gamma(alpha: f64, random: &mut Random) -> f64 {
    if alpha < 1.0 {
        let scale = log_uniform(random) / alpha;
        return scale + log_gamma(alpha + 1.0, random);
    }
    let d = alpha - 1.0 / 3.0;
    loop {
        let x = f64::from(random.normal());
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        let accepted = log_uniform(random) < 0.5 * x * x + d * (1.0 - v + v.ln());
        if v > 0.0 && accepted {
            return (d * v).ln();
        }
    }
}

fn log_uniform(random: &mut Random) -> f64 {
    (1.0 - f64::from(random.uniform())).ln()
}
