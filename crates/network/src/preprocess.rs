//! Preprocessing of images: normalisation, and the size of the network's input.

/// Per-channel mean and standard deviation of pixels scaled to [0, 1]
/// (`torchvision.transforms.Normalize`).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Normalisation {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// Statistics of CIFAR-10's training images, as the walk-through rounds them. The deviations
    /// are the customary ones: the mean over images of each image's deviation.
    pub fn cifar10() -> Normalisation {
        Normalisation { mean: vec![0.4914, 0.4822, 0.4465], std: vec![0.2023, 0.1994, 0.2010] }
    }

    /// Statistics of ImageNet's training images, as torchvision rounds them.
    pub fn imagenet() -> Normalisation {
        Normalisation { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// Whether it has a mean and a deviation for each channel, and every normalised pixel is
    /// finite.
    ///
    /// ```
    /// use resnet_network::preprocess::Normalisation;
    /// let of = |mean, std| Normalisation { mean: vec![mean; 3], std: vec![std; 3] };
    /// assert!(of(0.5, 0.25).is_usable(3) && !of(0.5, 0.25).is_usable(1));
    /// assert!(!of(f32::NAN, 0.25).is_usable(3) && !of(0.5, 0.0).is_usable(3));
    /// ```
    pub fn is_usable(&self, channels: usize) -> bool {
        let finite = |(mean, std): (&f32, &f32)| {
            *std > 0.0
                && std.is_finite()
                && [0.0, 1.0].iter().all(|x| ((x - mean) / std).is_finite())
        };
        [self.mean.len(), self.std.len()] == [channels; 2]
            && self.mean.iter().zip(&self.std).all(finite)
    }
}

/// How a photo becomes a network's input: a square of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Rows and columns of the result.
    pub image_size: usize,
    /// Length that the shorter side is resized to before the centre crop, pixels. None: the whole
    /// photo is resized to the square.
    pub resize: Option<usize>,
    /// Channels of the result: 1 (grey) or 3 (RGB).
    pub channels: usize,
}

impl Preparation {
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
        assert!(Normalisation { mean: vec![0.0], std: vec![1.0] }.is_usable(1));
    }
}
