//! Data sets, augmentation and the loader.

/// So many images of one size, with their labels.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// All pixels: `[n][height][width][channels]`.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u32>,
}

impl Images {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Per-channel mean and standard deviation of pixels scaled to [0, 1]
/// (`torchvision.transforms.Normalize`).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Normalisation {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
}

/// A data set for classification.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name, as on the command line.
    pub name: String,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// How pixels are normalised.
    pub normalisation: Normalisation,
    /// Images to train on.
    pub train: Images,
    /// Images to test on.
    pub test: Images,
}

/// Images on their way into a network: the first `labels.len()` images of a batch.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Pixels: `[n][height][width][channels]`.
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u32>,
}

/// What happens to a training image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Augment {
    /// Black pixels around the image before a random crop of its own size; 0 for no crop.
    pub pad: usize,
    /// Whether half of the images are mirrored.
    pub flip: bool,
}
