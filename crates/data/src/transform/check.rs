//! Checks of settings.

use std::ops::RangeInclusive;

use super::{
    policy::MAGNITUDES,
    settings::{
        Affine, ColorJitter, Crop, PcaNoise, Policy, RandAugment, RandomCrop, RandomErasing,
        RandomResizedCrop, Shorter, Transform,
    },
};

/// Most pixels of a side or a border, so that no sum of them overflows.
const MOST: usize = 1 << 16;
/// Most operations of RandAugment: as many as there are.
const MOST_OPS: usize = 14;

impl Transform {
    /// Checks all values.
    ///
    /// # Errors
    /// A message that names the field, its value and what it may be.
    ///
    /// ```
    /// use resnet_data::transform::Transform;
    /// let transform = Transform { vertical_flip: 1.5, ..Transform::default() };
    /// assert_eq!(transform.check().unwrap_err(), "vertical_flip is 1.5: it must be from 0 to 1");
    /// ```
    pub fn check(&self) -> Result<(), String> {
        within("horizontal_flip", self.horizontal_flip, 0.0..=1.0)?;
        within("vertical_flip", self.vertical_flip, 0.0..=1.0)?;
        match self.crop {
            Crop::RandomResized(RandomResizedCrop { scale, ratio }) => {
                areas("crop.random_resized.scale", scale)?;
                ratios("crop.random_resized.ratio", ratio)?;
            }
            Crop::Random(RandomCrop { resize, padding }) => {
                match resize {
                    Some(Shorter::Between(range @ [least, most])) => {
                        range.iter().try_for_each(|&x| side("crop.random.resize", Some(x)))?;
                        if least > most {
                            let must = "the first must not exceed the second";
                            return Err(format!("crop.random.resize is [{least}, {most}]: {must}"));
                        }
                    }
                    Some(Shorter::To(x)) => side("crop.random.resize", Some(x))?,
                    None => {}
                }
                if padding > MOST {
                    return Err(format!("crop.random.padding is {padding}: at most {MOST}"));
                }
            }
            Crop::Center(crop) => side("crop.center.resize", crop.resize)?,
            Crop::Whole => {}
        }
        if let Some(rotation) = self.rotation {
            within("rotation.degrees", rotation.degrees, 0.0..=360.0)?;
        }
        if let Some(Affine { degrees, translate, scale, shear, .. }) = self.affine {
            within("affine.degrees", degrees, 0.0..=360.0)?;
            translate.iter().try_for_each(|&x| within("affine.translate", x, 0.0..=1.0))?;
            pair("affine.scale", scale, 0.01..=100.0)?;
            // At 90 degrees the image is a line.
            shear.iter().try_for_each(|&x| within("affine.shear", x, 0.0..=89.0))?;
        }
        if let Some(ColorJitter { brightness, contrast, saturation, hue }) = self.color_jitter {
            within("color_jitter.brightness", brightness, 0.0..=100.0)?;
            within("color_jitter.contrast", contrast, 0.0..=100.0)?;
            within("color_jitter.saturation", saturation, 0.0..=100.0)?;
            within("color_jitter.hue", hue, 0.0..=0.5)?;
        }
        if let Some(PcaNoise { std, eigenvalues, eigenvectors }) = self.pca_noise {
            within("pca_noise.std", std, 0.0..=100.0)?;
            eigenvalues
                .iter()
                .try_for_each(|&x| within("pca_noise.eigenvalues", x, 0.0..=100.0))?;
            let components = eigenvectors.as_flattened().iter();
            components
                .copied()
                .try_for_each(|x| within("pca_noise.eigenvectors", x, -1.0..=1.0))?;
        }
        if let Some(Policy::RandAugment(RandAugment { num_ops, magnitude, .. })) = self.policy {
            if !(1..=MOST_OPS).contains(&num_ops) {
                let must = format!("it must be from 1 to {MOST_OPS}");
                return Err(format!("policy.rand_augment.num_ops is {num_ops}: {must}"));
            }
            if magnitude >= MAGNITUDES {
                let must = format!("it must be from 0 to {}", MAGNITUDES - 1);
                return Err(format!("policy.rand_augment.magnitude is {magnitude}: {must}"));
            }
        }
        if let Some(RandomErasing { probability, scale, ratio, .. }) = self.random_erasing {
            within("random_erasing.probability", probability, 0.0..=1.0)?;
            areas("random_erasing.scale", scale)?;
            ratios("random_erasing.ratio", ratio)?;
        }
        Ok(())
    }
}

/// A value in a range; NaN is in none.
pub(super) fn within(name: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value}: it must be from {} to {}", range.start(), range.end()))
}

/// The least and the greatest of something.
fn pair(name: &str, [low, high]: [f64; 2], range: RangeInclusive<f64>) -> Result<(), String> {
    within(name, low, range.clone())?;
    within(name, high, range)?;
    if low > high {
        return Err(format!("{name} is [{low}, {high}]: the first must not exceed the second"));
    }
    Ok(())
}

/// Shares of an area.
fn areas(name: &str, scale: [f64; 2]) -> Result<(), String> {
    pair(name, scale, 1e-6..=1.0)
}

fn ratios(name: &str, ratio: [f64; 2]) -> Result<(), String> {
    pair(name, ratio, 1e-3..=1e3)
}

fn side(name: &str, resize: Option<usize>) -> Result<(), String> {
    match resize {
        Some(side) if !(1..=MOST).contains(&side) => {
            Err(format!("{name} is {side}: it must be from 1 to {MOST}"))
        }
        _ => Ok(()),
    }
}
