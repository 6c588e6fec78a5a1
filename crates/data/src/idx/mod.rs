//! MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017): grey images of 28x28 pixels in IDX
//! files, compressed or not.
//!
//! Grey values are copied to three channels, as torchvision's users convert these images to RGB.

use std::path::{Path, PathBuf};

use resnet_network::preprocess::Normalisation;

use crate::{
    DataError, Dataset, Images, LoadOptions,
    published::{FileState, PublishedFile},
};

mod files;
#[cfg(test)]
mod tests;

pub(crate) use files::{FASHION_MNIST, MNIST};

/// Rows and columns of an image.
pub(crate) const SIDE: usize = 28;

/// Bytes before the images, and before the labels: magic number and dimensions.
const HEADERS: [usize; 2] = [16, 8];

/// A data set in four IDX files.
#[derive(Debug)]
pub(crate) struct IdxSet {
    pub name: &'static str,
    pub classes: [&'static str; 10],
    /// Mean and standard deviation of the training images.
    mean: f32,
    std: f32,
    /// Training images and labels, test images and labels.
    pub files: [PublishedFile; 4],
    /// Where others put the files: torchvision below its root, and Debian.
    elsewhere: &'static [&'static str],
}

impl IdxSet {
    pub(crate) fn normalisation(&self) -> Normalisation {
        Normalisation::new(vec![self.mean; 3], vec![self.std; 3])
    }

    /// The folder in which a download puts the files.
    pub(crate) fn own_folder(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(self.name)
    }

    /// The folder of the files: the first of its own, `data_dir` itself, torchvision's and Debian's that has
    /// all files. The names of the files are the same for both sets, so the labels tell which it is.
    pub(crate) fn folder(&self, data_dir: &Path) -> PathBuf {
        let own = self.own_folder(data_dir);
        let others = self.elsewhere.iter().map(|folder| data_dir.join(folder));
        let mut folders = [own.clone(), data_dir.to_owned()].into_iter().chain(others);
        folders.find(|folder| self.is_complete(folder) && self.is_this(folder)).unwrap_or(own)
    }

    /// Whether all files exist.
    pub(crate) fn is_complete(&self, folder: &Path) -> bool {
        self.files.iter().all(|file| path(folder, file).is_file())
    }

    fn is_this(&self, folder: &Path) -> bool {
        let labels = &self.files[3];
        content(self.name, labels, folder).is_ok()
    }

    pub(crate) fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let folder = self.folder(&options.folder()?);
        let part = |files: &[PublishedFile], limit: Option<usize>| {
            let (images, labels) = (&files[0], &files[1]);
            let labels = content(self.name, labels, &folder)?;
            let grey = content(self.name, images, &folder)?;
            Ok::<_, DataError>(images_of(&grey, &labels, limit))
        };
        let [train, test] =
            [(&self.files[..2], options.limit_train), (&self.files[2..], options.limit_test)]
                .map(|(files, limit)| part(files, limit));
        Ok(Dataset {
            name: self.name.to_owned(),
            classes: self.classes.map(str::to_owned).to_vec(),
            normalisation: self.normalisation(),
            train: train?,
            test: test?,
        })
    }

    /// The path of each file, and its state.
    pub(crate) fn verify(
        &self,
        file: &PublishedFile,
        folder: &Path,
        tick: impl FnMut(u64) -> Result<(), DataError>,
    ) -> Result<(PathBuf, FileState), DataError> {
        let path = path(folder, file);
        let state = if is_gz(&path) && path.is_file() {
            match file.read_gz(self.name, &path) {
                Ok(_) => FileState::Good,
                Err(DataError::WrongDigest { got, .. }) => FileState::Damaged(got),
                Err(DataError::Unreadable { reason, .. }) => FileState::Unreadable(reason),
                Err(other) => return Err(other),
            }
        } else {
            file.state(&path, tick)?
        };
        Ok((path, state))
    }
}

/// The file as it is, or compressed if only that exists.
fn path(folder: &Path, file: &PublishedFile) -> PathBuf {
    let (plain, gz) = (folder.join(file.name), folder.join(format!("{}.gz", file.name)));
    if !plain.is_file() && gz.is_file() { gz } else { plain }
}

fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix == "gz")
}

/// The bytes of a file, decompressed.
fn content(name: &'static str, file: &PublishedFile, folder: &Path) -> Result<Vec<u8>, DataError> {
    let path = path(folder, file);
    if is_gz(&path) { file.read_gz(name, &path) } else { file.read(name, &path) }
}

/// The first images of a file, whose MD5 is known to be right.
fn images_of(images: &[u8], labels: &[u8], limit: Option<usize>) -> Images {
    let [images_at, labels_at] = HEADERS;
    let labels = &labels[labels_at..];
    let n = labels.len().min(limit.unwrap_or(usize::MAX));
    let grey = &images[images_at..][..n * SIDE * SIDE];
    let pixels = grey.iter().flat_map(|&grey| [grey; 3]).collect();
    let labels = labels[..n].iter().map(|&label| label.into()).collect();
    Images { height: SIDE, width: SIDE, channels: 3, pixels, labels }
}
