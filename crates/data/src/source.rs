//! Data sets by name.

use std::{
    fmt::{self, Display},
    path::{Path, PathBuf},
    str::FromStr,
};

use md5::Md5;
use resnet_network::preprocess::Normalisation;
use serde::Serialize;

use crate::{DataError, Dataset, LoadOptions, cifar10, digest::file_digest, synthetic};

/// The data sets there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSource {
    /// CIFAR-10 (Krizhevsky 2009): photographs of ten kinds of things, 32x32.
    Cifar10,
    /// Drawn shapes of ten kinds, 32x32; generated, so that no file is needed.
    Synthetic,
}

impl DataSource {
    /// All of them.
    pub const ALL: [DataSource; 2] = [DataSource::Cifar10, DataSource::Synthetic];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            DataSource::Cifar10 => cifar10::NAME,
            DataSource::Synthetic => synthetic::NAME,
        }
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
            DataError::UnknownName {
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(" and "),
            }
        })
    }
}

/// Loads a data set into memory. Nothing is downloaded: see [`fetch`](crate::fetch).
///
/// # Errors
/// [`DataError::Missing`] where it has to be fetched first; others where its name is unknown or
/// its files are damaged.
pub fn load(name: &str, options: &LoadOptions) -> Result<Dataset, DataError> {
    match name.parse()? {
        DataSource::Cifar10 => cifar10::load(options),
        DataSource::Synthetic => Ok(synthetic::load(options)),
    }
}

/// What a data set is, without loading it.
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
    /// Channels of a pixel.
    pub channels: usize,
    /// How pixels are normalised.
    pub normalisation: Normalisation,
    /// Where its files are, or would be; none where it is built in.
    pub folder: Option<PathBuf>,
    /// Whether all its files are there (their content is [`verify`]'s matter).
    pub present: bool,
}

/// Describes a data set.
///
/// # Errors
/// [`DataError::UnknownName`].
pub fn info(name: &str, data_dir: &Path) -> Result<DatasetInfo, DataError> {
    Ok(match name.parse()? {
        DataSource::Cifar10 => {
            let folder = cifar10::folder(data_dir);
            DatasetInfo {
                name: cifar10::NAME,
                classes: cifar10::CLASSES.to_vec(),
                train: 50_000,
                test: 10_000,
                height: cifar10::SIDE,
                width: cifar10::SIDE,
                channels: 3,
                normalisation: Normalisation::cifar10(),
                present: cifar10::FILES.iter().all(|file| folder.join(file.name).is_file()),
                folder: Some(folder),
            }
        }
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

/// What [`verify`] found in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// The file.
    pub file: PathBuf,
    /// MD5 it should have, in hexadecimal.
    pub expected: &'static str,
    /// How it is.
    pub state: FileState,
}

/// The state of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// As published.
    Good,
    /// Not there.
    Missing,
    /// There, with this MD5 instead.
    Damaged(String),
}

/// Compares every file of a data set with its published MD5. A built-in data set has no files.
///
/// # Errors
/// [`DataError::UnknownName`], or [`DataError::Io`] where a file that is there cannot be read.
pub fn verify(name: &str, data_dir: &Path) -> Result<Vec<FileCheck>, DataError> {
    match name.parse()? {
        DataSource::Cifar10 => {
            let folder = cifar10::folder(data_dir);
            cifar10::FILES.iter().map(|file| check(folder.join(file.name), file.md5)).collect()
        }
        DataSource::Synthetic => Ok(Vec::new()),
    }
}

fn check(file: PathBuf, expected: &'static str) -> Result<FileCheck, DataError> {
    let state = if !file.is_file() {
        FileState::Missing
    } else {
        let md5 = file_digest::<Md5>(&file, |_| Ok(()))?;
        if md5 == expected { FileState::Good } else { FileState::Damaged(md5) }
    };
    Ok(FileCheck { file, expected, state })
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
        let error = load("mnist", &LoadOptions::default()).unwrap_err().to_string();
        assert_eq!(error, "no data set is called `mnist`; there are cifar10 and synthetic");
    }

    #[test]
    fn verify_tells_good_missing_and_damaged_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        let md5 = "900150983cd24fb0d6963f7d28e17f72"; // of "abc": RFC 1321, A.5
        let state = || check(file.clone(), md5).unwrap().state;
        assert_eq!(state(), FileState::Missing);
        fs::write(&file, "abc").unwrap();
        assert_eq!(state(), FileState::Good);
        fs::write(&file, "").unwrap();
        assert_eq!(state(), FileState::Damaged("d41d8cd98f00b204e9800998ecf8427e".to_owned()));
    }

    #[test]
    fn info_tells_whether_files_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let present = || info("cifar10", folder.path()).unwrap().present;
        assert!(!present());
        for file in cifar10::FILES {
            fs::write(folder.path().join(file.name), "").unwrap();
        }
        assert!(present());
        assert_eq!(verify("cifar10", folder.path()).unwrap().len(), 6);
    }
}
