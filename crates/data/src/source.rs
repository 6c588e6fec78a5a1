//! Data sets by name.

use std::{
    fmt::{self, Display},
    fs::Metadata,
    path::{Path, PathBuf},
    str::FromStr,
};

use md5::Md5;
use resnet_network::preprocess::Normalisation;
use serde::Serialize;

use crate::{
    DataError, Dataset, LoadOptions,
    cifar10::{self, BatchFile, Location, Version},
    digest::file_digest,
    synthetic,
};

/// The known data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSource {
    /// CIFAR-10 (Krizhevsky 2009): photographs of ten classes, 32x32.
    Cifar10,
    /// Drawn shapes of ten classes, 32x32; generated, without files.
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

/// Loads a data set into memory. It downloads nothing: see [`fetch`](crate::fetch).
///
/// # Errors
/// [`DataError::Missing`] if it must be downloaded first; others if the name is unknown or files
/// are damaged.
pub fn load(name: &str, options: &LoadOptions) -> Result<Dataset, DataError> {
    match name.parse()? {
        DataSource::Cifar10 => cifar10::load(options),
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
    /// Channels of a pixel.
    pub channels: usize,
    /// How pixels are normalised.
    pub normalisation: Normalisation,
    /// The folder of its files, whether or not it exists; none for a generated data set.
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

/// The result of [`verify`] for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// The file.
    pub file: PathBuf,
    /// Expected MD5, in hexadecimal. That of a file of the Python version is of its images and labels
    /// as the binary version has them.
    pub expected: &'static str,
    /// Expected bytes, likewise.
    pub length: u64,
    /// Its state.
    pub state: FileState,
}

/// The state of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// As published.
    Good,
    /// It does not exist.
    Missing,
    /// Its MD5 is this one instead of the published one.
    Damaged(String),
    /// It has this many bytes, too few or too many.
    Length(u64),
    /// It is a file of the Python version that cannot be read, for this reason.
    Unreadable(String),
}

/// Compares every file of a data set with its published MD5. A generated data set has no files.
///
/// # Errors
/// [`DataError::UnknownName`], or [`DataError::Io`] if an existing file cannot be read.
pub fn verify(name: &str, data_dir: &Path) -> Result<Vec<FileCheck>, DataError> {
    match name.parse()? {
        DataSource::Cifar10 => {
            let location = Location::new(data_dir);
            let check = |file| check(location.path(file), file, location.version);
            cifar10::FILES.iter().map(check).collect()
        }
        DataSource::Synthetic => Ok(Vec::new()),
    }
}

fn check(path: PathBuf, file: &BatchFile, version: Version) -> Result<FileCheck, DataError> {
    let state = match version {
        Version::Binary => state(&path, file, |_| Ok(()))?,
        Version::Python => python_state(&path, file)?,
    };
    Ok(FileCheck { file: path, expected: file.md5, length: file.bytes(), state })
}

/// The state of the file at `path`. `tick` gets the number of bytes read, and its error stops the
/// check.
pub(crate) fn state(
    path: &Path,
    file: &BatchFile,
    tick: impl FnMut(u64) -> Result<(), DataError>,
) -> Result<FileState, DataError> {
    let Some(there) = path.metadata().ok().filter(Metadata::is_file) else {
        return Ok(FileState::Missing);
    };
    // Do not read a file of the wrong length: it may be huge.
    if there.len() != file.bytes() {
        return Ok(FileState::Length(there.len()));
    }
    let md5 = file_digest::<Md5>(path, file.bytes(), tick)?;
    Ok(if md5 == file.md5 { FileState::Good } else { FileState::Damaged(md5) })
}

/// The state of a file of the Python version.
pub(crate) fn python_state(path: &Path, file: &BatchFile) -> Result<FileState, DataError> {
    match cifar10::python_records(path, file) {
        Ok(Ok(_)) => Ok(FileState::Good),
        Ok(Err(md5)) => Ok(FileState::Damaged(md5)),
        Err(DataError::NotPython { reason, .. }) => Ok(FileState::Unreadable(reason)),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::{cifar10::RECORD, digest::digest};

    #[test]
    fn names_are_parsed() {
        for source in DataSource::ALL {
            assert_eq!(source.name().parse::<DataSource>().unwrap(), source);
        }
        let error = load("mnist", &LoadOptions::default()).unwrap_err().to_string();
        assert_eq!(error, "unknown data set `mnist`: the data sets are cifar10 and synthetic");
    }

    #[test]
    fn verify_distinguishes_good_missing_and_damaged_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("one");
        let record = [7; RECORD];
        let md5 = digest::<Md5>(&record).leak();
        let state = || {
            check(file.clone(), &BatchFile { name: "one", images: 1, md5 }, Version::Binary)
                .unwrap()
                .state
        };
        assert_eq!(state(), FileState::Missing);
        fs::write(&file, record).unwrap();
        assert_eq!(state(), FileState::Good);
        let zeros = [0; RECORD];
        fs::write(&file, zeros).unwrap();
        assert_eq!(state(), FileState::Damaged(digest::<Md5>(&zeros)));
        fs::write(&file, "").unwrap();
        assert_eq!(state(), FileState::Length(0));
        File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(state(), FileState::Length(1 << 40));
    }

    #[test]
    fn info_states_whether_files_exist() {
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
