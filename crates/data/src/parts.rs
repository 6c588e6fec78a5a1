//! The images of a run, wherever they are.

use std::{borrow::Cow, ops::ControlFlow};

use resnet_network::preprocess::Normalisation;

use crate::{DataError, Dataset, Images, Photos};

/// A data set to train on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Its name, as on the command line; the absolute path of a folder of photos.
    pub name: String,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// How pixels are normalised.
    pub normalisation: Normalisation,
    /// Images to train on, with those of the validation set if they are still to be taken out.
    pub train: ImageSet,
    /// Images on which the best epoch is chosen, if they are a part of the data set.
    pub validation: Option<ImageSet>,
    /// Whether these have a part of their own, rather than being taken out of those to train on.
    pub own_validation: bool,
    /// Images to test on, if there are any.
    pub test: Option<ImageSet>,
}

impl From<Dataset> for Parts {
    fn from(data: Dataset) -> Parts {
        let Dataset { name, classes, normalisation, train, test } = data;
        let (train, test) = (ImageSet::Memory(train), Some(ImageSet::Memory(test)));
        let (validation, own_validation) = (None, false);
        Parts { name, classes, normalisation, train, validation, own_validation, test }
    }
}

/// Labelled images: in memory, or photos on disk.
#[derive(Clone, Debug)]
pub enum ImageSet {
    /// Images of one size, all in memory.
    Memory(Images),
    /// Photos, which are read when they are needed.
    Photos(Photos),
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether it has no images.
    pub fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// The class of each image.
    pub fn labels(&self) -> &[u32] {
        match self {
            ImageSet::Memory(images) => &images.labels,
            ImageSet::Photos(photos) => photos.labels(),
        }
    }

    /// Rows, columns and channels of the images, photos as they are prepared.
    pub fn size(&self) -> [usize; 3] {
        match self {
            ImageSet::Memory(images) => [images.height, images.width, images.channels],
            ImageSet::Photos(photos) => {
                let preparation = photos.preparation();
                [preparation.image_size, preparation.image_size, preparation.channels]
            }
        }
    }

    /// A copy of the first `n` images, or of all if there are fewer.
    #[must_use]
    pub fn first(&self, n: usize) -> ImageSet {
        match self {
            ImageSet::Memory(images) => ImageSet::Memory(images.first(n)),
            ImageSet::Photos(photos) => ImageSet::Photos(photos.first(n)),
        }
    }

    /// The pixels of an image, `[height][width][channels]`, of a photo as it is prepared; black if it cannot
    /// be used.
    pub fn image(&self, index: usize) -> Cow<'_, [u8]> {
        match self {
            ImageSet::Memory(images) => images.image(index).into(),
            ImageSet::Photos(photos) => photos.prepared(index).into(),
        }
    }

    /// Calls `visit` with the pixels and labels of each batch, in order and without augmentation, until it
    /// breaks. Photos that cannot be used are missing in their batches.
    ///
    /// # Errors
    /// If photos can no longer be read.
    pub fn visit(
        &self,
        batch_size: usize,
        mut visit: impl FnMut(&[u8], &[u32]) -> ControlFlow<()>,
    ) -> Result<(), DataError> {
        match self {
            ImageSet::Memory(images) => {
                let mut batches = images.batches(batch_size);
                let _ = batches.try_for_each(|(pixels, labels)| visit(pixels, labels));
                Ok(())
            }
            ImageSet::Photos(photos) => {
                let mut batches = photos.batches(batch_size).map_err(DataError::Threads)?;
                while let Some(batch) = batches.next() {
                    if visit(&batch.pixels, &batch.labels).is_break() {
                        return Ok(());
                    }
                    batches.recycle(batch);
                }
                batches.take_error().map_or(Ok(()), Err)
            }
        }
    }

    /// Messages about photos since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        match self {
            ImageSet::Memory(_) => Vec::new(),
            ImageSet::Photos(photos) => photos.take_notes(),
        }
    }
}
