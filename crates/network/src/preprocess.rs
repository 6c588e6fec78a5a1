//! Preprocessing of images: normalisation, and the size of the network's input.

/// Per-channel mean and standard deviation of pixels scaled to [0, 1]
/// (`torchvision.transforms.Normalize`).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Normalisation {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
    /// The mean of every pixel, `[row][column][channel]`, which is subtracted in place of `mean`; none for
    /// the mean of the channel. Images must have its size. (He et al. 2015, section 4.2.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_image: Option<Vec<f32>>,
}

impl Normalisation {
    /// With a mean and a standard deviation of each channel.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Normalisation {
        Normalisation { mean, std, mean_image: None }
    }

    /// Statistics of CIFAR-10's training images, as the walk-through rounds them. The deviations
    /// are the customary ones: the mean over images of each image's deviation.
    pub fn cifar10() -> Normalisation {
        Normalisation::new(vec![0.4914, 0.4822, 0.4465], vec![0.2023, 0.1994, 0.2010])
    }

    /// Statistics of ImageNet's training images, as torchvision rounds them.
    pub fn imagenet() -> Normalisation {
        Normalisation::new(vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225])
    }

    /// That of grey images, for one channel: the first of the numbers. The same for as many channels as it has.
    #[must_use]
    pub fn for_channels(mut self, channels: usize) -> Normalisation {
        self.mean.truncate(channels);
        self.std.truncate(channels);
        self
    }

    /// Whether it has a mean and a deviation for each channel, and every normalised pixel is
    /// finite.
    ///
    /// ```
    /// use resnet_network::preprocess::Normalisation;
    /// let of = |mean, std| Normalisation::new(vec![mean; 3], vec![std; 3]);
    /// assert!(of(0.5, 0.25).is_usable(3) && !of(0.5, 0.25).is_usable(1));
    /// assert!(!of(f32::NAN, 0.25).is_usable(3) && !of(0.5, 0.0).is_usable(3));
    /// ```
    pub fn is_usable(&self, channels: usize) -> bool {
        let finite = |(mean, std): (&f32, &f32)| {
            *std > 0.0
                && std.is_finite()
                && [0.0, 1.0].iter().all(|x| ((x - mean) / std).is_finite())
        };
        let is_pixel = |value: &f32| (0.0..=1.0).contains(value);
        [self.mean.len(), self.std.len()] == [channels; 2]
            && self.mean.iter().zip(&self.std).all(finite)
            && self.mean_image.iter().flatten().all(is_pixel)
    }

    /// Whether images may have this size: that of the mean image, or any if there is none.
    pub fn fits(&self, height: usize, width: usize) -> bool {
        let channels = self.mean.len();
        self.mean_image.as_ref().is_none_or(|image| image.len() == height * width * channels)
    }

    /// The byte of each channel that is nearest to the mean, ties to even; 0 for missing channels.
    pub fn mean_bytes(&self) -> [u8; 3] {
        let byte = |channel| self.mean.get(channel).map_or(0.0, |mean| 255.0 * mean);
        [0, 1, 2].map(|channel| byte(channel).round_ties_even() as u8)
    }
}

/// The resampling filter of a resize, as in Pillow and timm. All but `Nearest` are antialiased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// The mean of the pixels below an output pixel.
    Box,
    /// A triangle.
    #[default]
    Bilinear,
    /// A sinc in a Hamming window of one lobe.
    Hamming,
    /// A cubic (Keys 1981) with a = -0.5.
    Bicubic,
    /// A sinc in a Lanczos window of three lobes.
    Lanczos,
}

/// Which part of a photo is used, under timm's names where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// The shorter side is resized and the centre cropped: the ends of the longer side are left out.
    #[default]
    Center,
    /// The same, with half of an odd margin rounded down, as transformers does; torchvision and timm
    /// round it to even.
    #[serde(rename = "center-floor")]
    CenterFloor,
    /// Both sides are resized to the same length, then the centre is cropped.
    Squash,
    /// The longer side is resized, and the centre cropped or padded with the mean colour.
    Border,
}

/// How a photo becomes a network's input: a square of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Rows and columns of the result.
    pub image_size: usize,
    /// Length that a side is resized to before the centre crop, pixels: which one, [`CropMode`] says.
    /// None: the whole photo is resized to the square.
    pub resize: Option<usize>,
    /// Channels of the result: 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// The filter of the resize.
    pub interpolation: Interpolation,
    /// Which part of the photo is used.
    pub crop_mode: CropMode,
    /// The colour around a photo, with [`CropMode::Border`].
    pub fill: [u8; 3],
}

impl Preparation {
    /// torchvision's `Resize(resize)`, bilinear, and `CenterCrop(image_size)`.
    pub fn new(image_size: usize, resize: Option<usize>, channels: usize) -> Preparation {
        let (interpolation, crop_mode) = Default::default();
        Preparation { image_size, resize, channels, interpolation, crop_mode, fill: [0; 3] }
    }

    /// Bytes of the result, `[row][column][channel]`.
    pub fn image_len(&self) -> usize {
        self.image_size * self.image_size * self.channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `transforms.Normalize((0,), (1,))` leaves pixels as they are.
    #[test]
    fn a_mean_of_zero_is_usable() {
        assert!(Normalisation::new(vec![0.0], vec![1.0]).is_usable(1));
    }

    #[test]
    fn a_mean_image_has_a_size() {
        let mut normalisation = Normalisation::new(vec![0.5; 3], vec![0.25; 3]);
        assert!(normalisation.fits(7, 9));
        normalisation.mean_image = Some(vec![0.5; 24]);
        assert!(normalisation.is_usable(3));
        assert!(normalisation.fits(2, 4) && !normalisation.fits(2, 2) && !normalisation.fits(4, 4));
        for wrong in [-0.1, 1.1, f32::NAN] {
            normalisation.mean_image = Some(vec![wrong; 12]);
            assert!(!normalisation.is_usable(3), "{wrong}");
        }
    }
}
