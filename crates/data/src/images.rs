//! Images in memory.

use resnet_network::{
    crops::Crops,
    preprocess::Normalisation,
    random::{Purpose, Random},
};

use crate::DataError;

/// Labelled images of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether it has no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Checks that there are the pixels of every image, and no others.
    ///
    /// # Errors
    /// [`DataError::Pixels`] if not.
    pub fn check(&self) -> Result<(), DataError> {
        let Images { height, width, channels, .. } = *self;
        let (images, bytes) = (self.len(), self.pixels.len());
        let sizes = [height, width, channels];
        let expected = sizes.into_iter().try_fold(images, usize::checked_mul);
        if expected == Some(bytes) && self.pixels.is_empty() == self.is_empty() {
            return Ok(());
        }
        Err(DataError::Pixels { images, height, width, channels, bytes })
    }

    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Pixels of image `index`: `[height][width][channels]`.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn image(&self, index: usize) -> &[u8] {
        let len = self.image_len();
        &self.pixels[index * len..][..len]
    }

    /// The mean of each pixel over all images, from 0 to 1: `[height][width][channels]`. Zeros without images.
    pub fn mean_image(&self) -> Vec<f32> {
        let mut sums = vec![0_u64; self.image_len()];
        for image in self.pixels.chunks_exact(self.image_len().max(1)) {
            sums.iter_mut().zip(image).for_each(|(sum, &value)| *sum += u64::from(value));
        }
        let most = 255.0 * self.len().max(1) as f64;
        sums.into_iter().map(|sum| (sum as f64 / most) as f32).collect()
    }

    /// Keeps only the first `n` images, or all if there are fewer.
    pub fn limit(&mut self, n: usize) {
        let n = n.min(self.len());
        self.pixels.truncate(n * self.image_len());
        self.labels.truncate(n);
    }

    /// A copy of the first `n` images, or of all if there are fewer.
    pub fn first(&self, n: usize) -> Images {
        let n = n.min(self.len());
        let pixels = self.pixels[..n * self.image_len()].to_vec();
        Images { pixels, labels: self.labels[..n].to_vec(), ..*self }
    }

    /// Takes `n` random images out and returns them (`torch.utils.data.random_split`). The seed
    /// alone decides which; both parts stay in order.
    ///
    /// # Errors
    /// [`DataError::ValidationTooLarge`] where no image would remain; nothing has changed then.
    pub fn random_split(&mut self, n: usize, seed: u64) -> Result<Images, DataError> {
        if n >= self.len() {
            return Err(DataError::ValidationTooLarge { validation: n, images: self.len() });
        }
        let is_validation = Images::random_choice(self.len(), n, seed);
        let mut validation = Images { pixels: Vec::new(), labels: Vec::new(), ..*self };
        validation.pixels.reserve_exact(n * self.image_len());
        validation.labels.reserve_exact(n);
        let (len, mut kept) = (self.image_len(), 0);
        for (i, is_validation) in is_validation.into_iter().enumerate() {
            if is_validation {
                validation.pixels.extend_from_slice(self.image(i));
                validation.labels.push(self.labels[i]);
            } else {
                self.pixels.copy_within(i * len..(i + 1) * len, kept * len);
                self.labels[kept] = self.labels[i];
                kept += 1;
            }
        }
        self.limit(kept);
        Ok(validation)
    }

    /// Which of some images [`Images::random_split`] takes out.
    ///
    /// # Panics
    /// If `n` is larger than their number.
    pub fn random_choice(images: usize, n: usize, seed: u64) -> Vec<bool> {
        let mut order: Vec<usize> = (0..images).collect();
        Random::new(seed, Purpose::Split, &[]).shuffle(&mut order);
        let mut is_chosen = vec![false; images];
        order[..n].iter().for_each(|&i| is_chosen[i] = true);
        is_chosen
    }

    /// Pixels and labels in batches of `batch_size` images, in order, without augmentation. The
    /// last batch may be smaller.
    ///
    /// # Panics
    /// If `batch_size` or the size of an image is 0.
    pub fn batches(&self, batch_size: usize) -> impl ExactSizeIterator<Item = (&[u8], &[u32])> {
        let pixels = self.pixels.chunks(batch_size * self.image_len());
        pixels.zip(self.labels.chunks(batch_size))
    }
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

/// A batch of `labels.len()` images, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Images of the whole batch, with those that cannot be used.
    pub whole: usize,
    /// Pixels: `[n][height][width][channels]`; none if there are crops.
    pub pixels: Vec<u8>,
    /// What the pixels are made of, for a device that keeps the images ([`Loader::with_crops`](crate::Loader::with_crops)).
    pub crops: Option<Crops>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// Which image of the data set each of them is: its number, plus that of all images for each time that the
    /// epoch had it before.
    pub draws: Vec<usize>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `n` images of 2 x 3 pixels, identified by their bytes and labels.
    pub(crate) fn numbered(n: usize) -> Images {
        let pixels = (0..n * 18).map(|i| (i / 18 * 31 + i % 18) as u8).collect();
        let labels = (0..n as u32).collect();
        Images { height: 2, width: 3, channels: 3, pixels, labels }
    }

    #[test]
    fn every_image_has_its_pixels() {
        let images = numbered(3);
        images.check().unwrap();
        Images::default().check().unwrap();
        for bytes in [0, 17, 18, 36, 53, 55, 72] {
            let mut pixels = images.pixels.clone();
            pixels.resize(bytes, 0);
            let error = Images { pixels, ..images.clone() }.check().unwrap_err().to_string();
            let text = format!("3 images of 2x3x3 cannot have {bytes} bytes of pixels");
            assert!(error.starts_with(&text), "{error}");
        }
        let unlabelled = Images { labels: Vec::new(), ..images.clone() };
        let no_size = Images { height: 0, pixels: Vec::new(), ..images.clone() };
        let too_large = Images { height: usize::MAX, ..images };
        assert!([unlabelled, no_size, too_large].iter().all(|images| images.check().is_err()));
    }

    #[test]
    fn the_mean_image_is_numpys() {
        // (np.array([[0, 10, 255], [1, 20, 255]], np.uint8).mean(0) / 255).astype(np.float32)
        let pixels = vec![0, 10, 255, 1, 20, 255];
        let images = Images { height: 1, width: 1, channels: 3, pixels, labels: vec![0, 0] };
        assert_eq!(images.mean_image(), [0.001_960_784_4, 0.058_823_53, 1.0]);
    }

    #[test]
    fn a_split_parts_the_images() {
        let all = numbered(20);
        let mut train = all.clone();
        let validation = train.random_split(6, 3).unwrap();
        assert_eq!((train.len(), validation.len()), (14, 6));
        for part in [&train, &validation] {
            assert!(part.labels.is_sorted());
            for (i, &label) in part.labels.iter().enumerate() {
                assert_eq!(part.image(i), all.image(label as usize));
            }
        }
        let mut labels = [train.labels, validation.labels.clone()].concat();
        labels.sort_unstable();
        assert_eq!(labels, all.labels);

        let with_seed = |seed| all.clone().random_split(6, seed).unwrap();
        assert_eq!(with_seed(3), validation);
        assert_ne!(with_seed(4), validation);
    }

    #[test]
    fn a_split_leaves_something_to_train_on() {
        let mut images = numbered(4);
        assert!(matches!(
            images.random_split(4, 0),
            Err(DataError::ValidationTooLarge { validation: 4, images: 4 })
        ));
        assert_eq!(images, numbered(4));
        assert!(images.random_split(0, 0).unwrap().is_empty());
        let chosen = Images::random_choice(4, 2, 9);
        let taken = images.random_split(2, 9).unwrap().labels;
        assert!(taken.iter().all(|&label| chosen[label as usize]));
    }

    #[test]
    fn batches_cover_every_image_in_order() {
        let images = numbered(7);
        let sizes: Vec<_> = images.batches(3).map(|(_, labels)| labels.len()).collect();
        assert_eq!(sizes, [3, 3, 1]);
        let pixels: Vec<u8> = images.batches(3).flat_map(|(pixels, _)| pixels).copied().collect();
        assert_eq!(pixels, images.pixels);
        assert_eq!(images.batches(100).len(), 1);
    }

    #[test]
    fn a_limit_keeps_the_first() {
        let mut images = numbered(7);
        images.limit(9);
        assert_eq!(images.len(), 7);
        assert_eq!(images.first(9), images);
        assert_eq!(images.first(2), numbered(2));
        images.limit(2);
        assert_eq!(images, numbered(2));
    }
}
