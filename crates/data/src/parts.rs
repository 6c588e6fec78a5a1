//! The images of a run, wherever they are.

use std::{borrow::Cow, ops::ControlFlow};

use resnet_network::preprocess::Normalisation;

use sha2::{Digest, Sha256};

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

impl Parts {
    /// Checks the images in memory.
    ///
    /// # Errors
    /// As [`Images::check`].
    pub fn check(&self) -> Result<(), DataError> {
        let sets = [Some(&self.train), self.validation.as_ref(), self.test.as_ref()];
        sets.into_iter().flatten().try_for_each(ImageSet::check)
    }

    /// A digest of classes, labels and images; of photos on disk their names, the lengths of their files, and the first
    /// bytes of some. Equal for equal data, also on other machines.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        self.classes.iter().for_each(|class| add(class.as_bytes()));
        let sets = [Some(&self.train), self.validation.as_ref(), self.test.as_ref()];
        for set in sets.into_iter().flatten() {
            let labels: Vec<u8> =
                set.labels().iter().flat_map(|label| label.to_le_bytes()).collect();
            add(&labels);
            match set {
                ImageSet::Memory(images) => add(&images.pixels),
                ImageSet::Photos(photos) => {
                    for (photo, (len, start)) in photos.peek().iter().enumerate() {
                        add(photos.list().bytes(photo));
                        add(&len.to_le_bytes());
                        add(start);
                    }
                }
            }
        }
        digest.finalize().into()
    }
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

    /// Checks images in memory; photos are checked when they are read.
    ///
    /// # Errors
    /// As [`Images::check`].
    pub fn check(&self) -> Result<(), DataError> {
        match self {
            ImageSet::Memory(images) => images.check(),
            ImageSet::Photos(_) => Ok(()),
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
        visit: impl FnMut(&[u8], &[u32]) -> ControlFlow<()>,
    ) -> Result<(), DataError> {
        self.visit_share(batch_size, 0, 1, visit)
    }

    /// The same with every batch whose number is `rank` modulo `size`.
    ///
    /// # Errors
    /// As [`ImageSet::visit`].
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn visit_share(
        &self,
        batch_size: usize,
        rank: usize,
        size: usize,
        mut visit: impl FnMut(&[u8], &[u32]) -> ControlFlow<()>,
    ) -> Result<(), DataError> {
        match self {
            ImageSet::Memory(images) => {
                let mut batches = images.batches(batch_size).skip(rank).step_by(size);
                let _ = batches.try_for_each(|(pixels, labels)| visit(pixels, labels));
                Ok(())
            }
            ImageSet::Photos(photos) => {
                let batches = photos.some_batches(batch_size, |batch| batch % size == rank);
                let mut batches = batches.map_err(DataError::Threads)?;
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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use resnet_network::preprocess::Preparation;

    use super::*;
    use crate::{CacheOptions, Loader, PhotoList, PhotoOptions, Shards, transform::Transform};

    /// Photos of 8 x 8 pixels in a folder.
    fn photos_in(folder: &Path, count: usize) -> Photos {
        let mut list = PhotoList::new(folder);
        for index in 0..count {
            let name = format!("{index}.ppm");
            let bytes = [&b"P6 8 8 255\n"[..], &[index as u8; 192]].concat();
            fs::write(folder.join(&name), bytes).unwrap();
            list.push(name.as_bytes(), 0);
        }
        let options = PhotoOptions { workers: 2, cache: CacheOptions::None };
        Photos::new(list, Preparation::new(8, None, 3), options)
    }

    /// The photos that were read.
    fn read(photos: &Photos) -> Vec<usize> {
        let identities = photos.identities();
        (0..photos.len()).filter(|&index| identities[index] != 0).collect()
    }

    #[test]
    fn a_process_reads_its_share_of_the_photos() {
        let folder = tempfile::tempdir().unwrap();
        for rank in 0..2 {
            let evaluated = photos_in(folder.path(), 10);
            let set = ImageSet::Photos(evaluated.clone());
            let visited = set.visit_share(2, rank, 2, |_, _| ControlFlow::Continue(()));
            visited.unwrap();
            let own: Vec<usize> = (0..10).filter(|index| index / 2 % 2 == rank).collect();
            assert_eq!(read(&evaluated), own);

            let trained = photos_in(folder.path(), 10);
            let loader = Loader::of_photos(trained.clone(), 4, Transform::default(), 0)
                .with_shards(Shards::of_process(2, rank, 2));
            let batches = loader.epoch(1, 0).unwrap();
            let mut drawn: Vec<usize> = batches.flat_map(|batch| batch.draws).collect();
            drawn.sort_unstable();
            assert_eq!(drawn.len(), 5);
            assert_eq!(read(&trained), drawn);
        }
    }

    #[test]
    fn photos_are_known_once_they_were_compared() {
        let folder = tempfile::tempdir().unwrap();
        let photos = photos_in(folder.path(), 3);
        let parts = Parts {
            name: "photos".to_owned(),
            classes: vec!["cat".to_owned()],
            normalisation: Normalisation::imagenet(),
            train: ImageSet::Photos(photos.clone()),
            validation: None,
            own_validation: false,
            test: None,
        };
        parts.digest();
        assert_eq!(read(&photos), [0, 1, 2]);
        assert_eq!(photos.take_notes(), [""; 0]);
        fs::write(folder.path().join("1.ppm"), "another photo").unwrap();
        parts.digest();
        let notes = photos.take_notes();
        assert!(matches!(&notes[..], [note] if note.contains("1.ppm has changed")), "{notes:?}");
    }

    #[test]
    fn photos_are_equal_by_names_lengths_and_the_first_bytes_of_some() {
        const COUNT: usize = 100;
        let folder = tempfile::tempdir().unwrap();
        let write = |machine: &str, photo: usize, content: &str| {
            let root = folder.path().join(machine);
            fs::create_dir_all(&root).unwrap();
            fs::write(root.join(photo.to_string()), content).unwrap();
        };
        let digest = |machine: &str| {
            let mut list = PhotoList::new(&folder.path().join(machine));
            (0..COUNT).for_each(|photo| list.push(photo.to_string().as_bytes(), 0));
            let options = PhotoOptions { workers: 2, cache: CacheOptions::None };
            let photos = Photos::new(list, Preparation::new(8, None, 3), options);
            let parts = Parts {
                name: machine.to_owned(),
                classes: vec!["cat".to_owned()],
                normalisation: Normalisation::imagenet(),
                train: ImageSet::Photos(photos),
                validation: None,
                own_validation: false,
                test: None,
            };
            parts.digest()
        };
        for machine in ["a", "b"] {
            (0..COUNT).for_each(|photo| write(machine, photo, &format!("photo {photo}")));
        }
        let all = digest("a");
        assert_eq!(digest("b"), all);
        write("b", COUNT - 1, "photo 1000");
        assert_ne!(digest("b"), all, "another length");
        write("b", COUNT - 1, &format!("photo {}", COUNT - 1));
        write("b", 0, "photo 1");
        assert_ne!(digest("b"), all, "other bytes");
        fs::remove_file(folder.path().join("b/0")).unwrap();
        assert_ne!(digest("b"), all, "no file");
        fs::remove_file(folder.path().join("a/0")).unwrap();
        assert_eq!(digest("b"), digest("a"));
    }
}
