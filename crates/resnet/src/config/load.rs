//! Loads the data set of a configuration.

use super::DataConfig;
use crate::{
    data::{DataError, Dataset, Images, LoadOptions, load, photo::resize_images},
    engine::memory,
};

/// The most rows and columns of an image, as the options take them.
const MAX_SIDE: usize = 4096;

impl DataConfig {
    /// Loads the data set of a run into memory: as many images as its limits allow, in its image size, to which
    /// so many threads resize them. It downloads nothing: see [`fetch`](crate::data::fetch()).
    ///
    /// # Errors
    /// If files are missing or damaged, if images of this size do not fit into memory, or if the run is on photos,
    /// which [`open_photos`](crate::run::open_photos) opens.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn load(&self, threads: usize) -> Result<Dataset, DataError> {
        if self.photos.is_some() {
            let message = "it is a folder of photos, not a data set: run::open_photos opens them";
            return Err(unsuitable(&self.name, message));
        }
        let options = LoadOptions {
            data_dir: self.dir.clone(),
            limit_train: self.limit_train,
            limit_test: self.limit_test,
        };
        resize(load(&self.name, &options)?, self.image_size, threads)
    }
}

/// A data set with images of `side` rows and columns, which are enlarged or shrunk if they have another size.
///
/// # Errors
/// If they are too large, alone or together.
///
/// # Panics
/// If `threads` is 0.
pub fn resize(mut set: Dataset, side: usize, threads: usize) -> Result<Dataset, DataError> {
    let Images { height, width, channels, .. } = set.train;
    if [height, width] == [side; 2] {
        return Ok(set);
    }
    let name = set.name.clone();
    let error = |message: String| unsuitable(&name, message);
    if !(1..=MAX_SIDE).contains(&side) {
        return Err(error(format!(
            "its images are {height}x{width}x{channels}; they are resized to at most {MAX_SIDE} pixels a side, \
             not to {side}"
        )));
    }
    let images = set.train.len() + set.test.len();
    let bytes = images.saturating_mul(side * side * channels);
    if let Some(available) = memory::available().filter(|&available| available < bytes) {
        let gib = |bytes: usize| bytes as f64 / (1_u64 << 30) as f64;
        return Err(error(format!(
            "{images} images of {side}x{side} pixels need {:.2} GiB of memory, and {:.2} GiB are available: \
             choose a smaller --image-size, or --limit-train",
            gib(bytes),
            gib(available)
        )));
    }
    for part in [&mut set.train, &mut set.test] {
        *part = resize_images(part, side, threads)
            .map_err(|reason| error(format!("its images cannot be resized: {reason}")))?;
    }
    Ok(set)
}

fn unsuitable(name: &str, message: impl Into<String>) -> DataError {
    DataError::Unsuitable { name: name.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::sample;

    #[test]
    fn the_data_set_of_a_configuration_is_loaded_with_its_limits_and_size() {
        let mut data = sample().data;
        (data.limit_test, data.image_size) = (Some(3), 16);
        let set = data.load(1).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (12, 3));
        assert_eq!([set.train.height, set.test.width], [16; 2]);
        data.image_size = 5000;
        let error = data.load(1).unwrap_err().to_string();
        assert!(error.contains("synthetic: its images are 32x32x3; they are resized"), "{error}");
    }

    #[test]
    fn the_folder_of_a_configuration_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut data = sample().data;
        (data.name, data.dir) = ("cifar10".to_owned(), Some(folder.path().to_owned()));
        let error = data.load(1).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
    }
}
