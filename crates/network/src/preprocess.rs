//! What a network asks of its images.

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
    /// Whether it has a mean and a deviation for each channel, and makes a finite number of every
    /// pixel.
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
