//! Folders of photos: a folder for each class.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use resnet_network::random::{Purpose, Random};

use crate::{DataError, photo::find};

/// A data set of photos on disk.
#[derive(Clone, Debug)]
pub struct PhotoSet {
    /// Its folder.
    pub root: PathBuf,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// Photos to train on.
    pub train: PhotoList,
    /// Photos for validation, if the folder has such a part.
    pub validation: Option<PhotoList>,
    /// Photos to test on, if the folder has such a part.
    pub test: Option<PhotoList>,
    /// Messages about what was left out.
    pub notes: Vec<String>,
}

/// Paths of photos, relative to a folder, with their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhotoList {
    root: PathBuf,
    /// All names, one after the other.
    names: Vec<u8>,
    /// Where each ends.
    ends: Vec<u64>,
    labels: Vec<u32>,
}

impl PhotoSet {
    /// Lists the photos of a folder.
    ///
    /// # Errors
    /// If it cannot be read, or has no photos in folders of classes.
    pub fn open(root: &Path, _labels: Option<&Path>) -> Result<PhotoSet, DataError> {
        let mut classes = Vec::new();
        for entry in fs::read_dir(root).map_err(DataError::io("read", root))? {
            let entry = entry.map_err(DataError::io("read", root))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') {
                classes.push(name);
            }
        }
        classes.sort();
        let mut train = PhotoList::new(root);
        for (label, class) in (0..).zip(&classes) {
            for path in find(&root.join(class)).photos {
                train.push(path.strip_prefix(root).unwrap_or(&path), label);
            }
        }
        if train.is_empty() {
            let error = io::Error::other("it has no photos in folders, one a class");
            return Err(DataError::io("use", root)(error));
        }
        let root = root.to_owned();
        Ok(PhotoSet { root, classes, train, validation: None, test: None, notes: Vec::new() })
    }
}

impl PhotoList {
    /// An empty list of photos in a folder.
    pub fn new(root: &Path) -> PhotoList {
        PhotoList { root: root.to_owned(), ..PhotoList::default() }
    }

    /// Adds a photo by its path in the folder.
    pub fn push(&mut self, name: &Path, label: u32) {
        self.names.extend_from_slice(name.as_os_str().as_encoded_bytes());
        self.ends.push(self.names.len() as u64);
        self.labels.push(label);
    }

    /// Number of photos.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of each photo.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a photo in the folder.
    pub fn name(&self, index: usize) -> &Path {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        path(&self.names[start..self.ends[index] as usize])
    }

    /// The path of a photo.
    pub fn path(&self, index: usize) -> PathBuf {
        self.root.join(self.name(index))
    }

    /// A list of some of the photos.
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> PhotoList {
        let mut list = PhotoList::new(&self.root);
        indices.into_iter().for_each(|i| list.push(self.name(i), self.labels[i]));
        list
    }

    /// Takes about `n` random photos out, of each class as many as it has a share in all, and returns
    /// them. Each class keeps at least one.
    pub fn stratified_split(&mut self, n: usize, seed: u64) -> PhotoList {
        let classes = self.labels.iter().max().map_or(0, |&label| label as usize + 1);
        let mut of_class = vec![Vec::new(); classes];
        for (index, &label) in self.labels.iter().enumerate() {
            of_class[label as usize].push(index);
        }
        let mut taken = vec![false; self.len()];
        // Rounded so that the sums over classes are those of exact shares.
        let (mut before, mut given) = (0, 0);
        for (class, mut indices) in of_class.into_iter().enumerate() {
            before += indices.len();
            let share = (before * n + self.len() / 2) / self.len().max(1) - given;
            given += share;
            Random::new(seed, Purpose::Split, &[class as u64]).shuffle(&mut indices);
            let most = indices.len().saturating_sub(1);
            indices.iter().take(share.min(most)).for_each(|&index| taken[index] = true);
        }
        let split = self.select((0..self.len()).filter(|&i| taken[i]));
        *self = self.select((0..self.len()).filter(|&i| !taken[i]));
        split
    }
}

#[cfg(unix)]
fn path(name: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(name))
}

#[cfg(not(unix))]
fn path(name: &[u8]) -> &Path {
    Path::new(std::str::from_utf8(name).unwrap_or_default())
}
