//! Data sets by name.

use std::{
    fmt::{self, Display},
    path::{Path, PathBuf},
    str::FromStr,
};

use resnet_network::preprocess::Normalisation;
use serde::Serialize;

use crate::{
    DataError, Dataset, LoadOptions,
    cifar10::{self, Location, Version},
    cifar100,
    idx::{self, FASHION_MNIST, IdxSet, MNIST},
    published::{FileState, PublishedFile},
    synthetic,
};

/// The known data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSource {
    /// CIFAR-10 (Krizhevsky 2009): photographs of ten classes, 32x32.
    Cifar10,
    /// CIFAR-100 (Krizhevsky 2009): photographs of a hundred classes, 32x32.
    Cifar100,
    /// MNIST (LeCun et al. 1998): handwritten digits, grey, 28x28.
    Mnist,
    /// Fashion-MNIST (Xiao et al. 2017): clothes of ten classes, grey, 28x28.
    FashionMnist,
    /// Drawn shapes of ten classes, 32x32; generated, without files.
    Synthetic,
}

impl DataSource {
    /// All of them.
    pub const ALL: [DataSource; 5] = [
        DataSource::Cifar10,
        DataSource::Cifar100,
        DataSource::Mnist,
        DataSource::FashionMnist,
        DataSource::Synthetic,
    ];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            DataSource::Cifar10 => cifar10::NAME,
            DataSource::Cifar100 => cifar100::NAME,
            DataSource::Mnist => MNIST.name,
            DataSource::FashionMnist => FASHION_MNIST.name,
            DataSource::Synthetic => synthetic::NAME,
        }
    }

    /// Whether the mirror image of an image is of the same class. That of a digit is none.
    pub fn may_be_mirrored(self) -> bool {
        self != DataSource::Mnist
    }
}

impl Display for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DataSource {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL.into_iter().find(|source| source.name() == name).ok_or_else(|| {
            let [first @ .., last] = Self::ALL.map(Self::name);
            let known = format!("{} and {last}", first.join(", "));
            let plain = |name: &str| name.to_lowercase().replace(['-', '_'], "");
            let wanted = plain(name);
            let similar = Self::ALL.map(Self::name).into_iter().find(|name| plain(name) == wanted);
            DataError::UnknownName { name: name.to_owned(), similar, known }
        })
    }
}

/// Loads a data set into memory. It downloads nothing: see [`fetch`](crate::fetch).
///
/// # Errors
/// [`DataError::Missing`] if it must be downloaded first; others if the name is unknown or files
/// are damaged.
pub fn load(name: &str, options: &LoadOptions) -> Result<Dataset, DataError> {
    match name.parse()? {
        DataSource::Cifar10 => cifar10::load(options),
        DataSource::Cifar100 => cifar100::load(options),
        DataSource::Mnist => MNIST.load(options),
        DataSource::FashionMnist => FASHION_MNIST.load(options),
        DataSource::Synthetic => Ok(synthetic::load(options)),
    }
}

/// The description of a data set.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetInfo {
    /// Its name.
    pub name: &'static str,
    /// Class names, in label order.
    pub classes: Vec<&'static str>,
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels of a pixel. Grey images have three equal ones.
    pub channels: usize,
    /// How pixels are normalised.
    pub normalisation: Normalisation,
    /// The folder of its files, whether or not it exists; none for a generated data set. It is not
    /// serialised, since a path need not be UTF-8.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
    /// Whether all its files exist; [`verify`] checks their content.
    pub present: bool,
}

/// Describes a data set without loading it.
///
/// # Errors
/// [`DataError::UnknownName`].
pub fn info(name: &str, data_dir: &Path) -> Result<DatasetInfo, DataError> {
    Ok(match name.parse()? {
        DataSource::Cifar10 => {
            let location = Location::new(data_dir);
            DatasetInfo {
                name: cifar10::NAME,
                classes: cifar10::CLASSES.to_vec(),
                train: 50_000,
                test: 10_000,
                height: cifar10::SIDE,
                width: cifar10::SIDE,
                channels: 3,
                normalisation: Normalisation::cifar10(),
                present: location.is_complete(),
                folder: Some(location.folder),
            }
        }
        DataSource::Cifar100 => {
            let folder = cifar100::folder(data_dir);
            DatasetInfo {
                name: cifar100::NAME,
                classes: cifar100::CLASSES.to_vec(),
                train: 50_000,
                test: 10_000,
                height: cifar10::SIDE,
                width: cifar10::SIDE,
                channels: 3,
                normalisation: cifar100::normalisation(),
                present: cifar100::is_complete(&folder),
                folder: Some(folder),
            }
        }
        DataSource::Mnist => of_idx(&MNIST, data_dir),
        DataSource::FashionMnist => of_idx(&FASHION_MNIST, data_dir),
        DataSource::Synthetic => DatasetInfo {
            name: synthetic::NAME,
            classes: synthetic::CLASSES.to_vec(),
            train: synthetic::TRAIN,
            test: synthetic::TEST,
            height: synthetic::SIDE,
            width: synthetic::SIDE,
            channels: 3,
            normalisation: synthetic::normalisation(),
            folder: None,
            present: true,
        },
    })
}

fn of_idx(set: &IdxSet, data_dir: &Path) -> DatasetInfo {
    let folder = set.folder(data_dir);
    DatasetInfo {
        name: set.name,
        classes: set.classes.to_vec(),
        train: 60_000,
        test: 10_000,
        height: idx::SIDE,
        width: idx::SIDE,
        channels: 3,
        normalisation: set.normalisation(),
        present: set.is_complete(&folder),
        folder: Some(folder),
    }
}

/// The result of [`verify`] for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// The file. It is not serialised, since a path need not be UTF-8.
    #[serde(skip)]
    pub file: PathBuf,
    /// Expected MD5, in hexadecimal. That of a file of CIFAR-10's Python version is of its images and
    /// labels as the binary version has them, that of a compressed file of its content.
    pub expected: &'static str,
    /// Expected bytes, likewise; none if they are not published.
    pub length: Option<u64>,
    /// Its state.
    pub state: FileState,
}

/// Compares every file of a data set with its published MD5. A generated data set has no files.
///
/// # Errors
/// [`DataError::UnknownName`], or [`DataError::Io`] if an existing file cannot be read.
pub fn verify(name: &str, data_dir: &Path) -> Result<Vec<FileCheck>, DataError> {
    let no_tick = |_| Ok(());
    let check = |file: &PublishedFile, path: PathBuf, state: FileState| FileCheck {
        file: path,
        expected: file.md5,
        length: file.bytes,
        state,
    };
    match name.parse()? {
        DataSource::Cifar10 => {
            let location = Location::new(data_dir);
            let of = |file: &PublishedFile| {
                let path = location.path(file);
                let state = match location.version {
                    Version::Binary => file.state(&path, no_tick)?,
                    Version::Python => python_state(&path, file)?,
                };
                Ok(check(file, path, state))
            };
            cifar10::FILES.iter().map(of).collect()
        }
        DataSource::Cifar100 => {
            let folder = cifar100::folder(data_dir);
            let of = |file: &PublishedFile| {
                let path = folder.join(file.name);
                let state = file.state(&path, no_tick)?;
                Ok(check(file, path, state))
            };
            cifar100::FILES.iter().map(of).collect()
        }
        name @ (DataSource::Mnist | DataSource::FashionMnist) => {
            let set = if name == DataSource::Mnist { &MNIST } else { &FASHION_MNIST };
            let folder = set.folder(data_dir);
            let of = |file: &PublishedFile| {
                let (path, state) = set.verify(file, &folder, no_tick)?;
                Ok(check(file, path, state))
            };
            set.files.iter().map(of).collect()
        }
        DataSource::Synthetic => Ok(Vec::new()),
    }
}

/// The state of a file of the Python version.
pub(crate) fn python_state(path: &Path, file: &PublishedFile) -> Result<FileState, DataError> {
    match cifar10::python_records(path, file) {
        Ok(Ok(_)) => Ok(FileState::Good),
        Ok(Err(md5)) => Ok(FileState::Damaged(md5)),
        Err(DataError::NotPython { reason, .. }) => Ok(FileState::Unreadable(reason)),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_are_parsed() {
        for source in DataSource::ALL {
            assert_eq!(source.name().parse::<DataSource>().unwrap(), source);
        }
        let error = load("svhn", &LoadOptions::default()).unwrap_err().to_string();
        let known = "cifar10, cifar100, mnist, fashion-mnist and synthetic";
        assert_eq!(error, format!("unknown data set `svhn`: the data sets are {known}"));
        for (name, meant) in [("CIFAR-10", "cifar10"), ("FashionMNIST", "fashion-mnist")] {
            let error = load(name, &LoadOptions::default()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}` (did you mean {meant}?): ")), "{error}");
        }
    }

    #[test]
    fn info_states_whether_files_exist() {
        for (name, files, own) in [
            ("cifar10", &cifar10::FILES[..], ""),
            ("cifar100", &cifar100::FILES[..], ""),
            ("mnist", &MNIST.files[..], "mnist"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let present = || info(name, folder.path()).unwrap().present;
            assert!(!present());
            fs::create_dir_all(folder.path().join(own)).unwrap();
            for file in files {
                fs::write(folder.path().join(own).join(file.name), "").unwrap();
            }
            assert!(present());
            let checks = verify(name, folder.path()).unwrap();
            assert_eq!(checks.len(), files.len());
            assert!(checks.iter().all(|check| check.state != FileState::Good));
        }
    }
}
