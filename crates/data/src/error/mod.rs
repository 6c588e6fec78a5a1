//! Errors of data sets.

use std::{
    io,
    path::{Path, PathBuf},
};

use resnet_formats::{Shown, brief, printable};
use thiserror::Error;

pub use self::photo_set::PhotoSetError;
pub(crate) use self::photo_set::{LISTED, counted};

mod photo_set;

/// Why a data set cannot be loaded, downloaded or split.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set has this name.
    #[error(
        "unknown data set `{}`{}: the data sets are {known}",
        brief(name),
        did_you_mean(*similar)
    )]
    UnknownName {
        /// The unknown name.
        name: String,
        /// The one that is meant, if the name only has other capitals, hyphens or underscores.
        similar: Option<&'static str>,
        /// The known names.
        known: String,
    },
    /// The user has no cache folder.
    #[error("there is no cache folder for data sets: give a folder with --data-dir or RESNET_DATA")]
    NoDataDir,
    /// A file of the data set is missing.
    #[error(
        "{name} is incomplete, {} is missing: run `resnet data fetch {name}`, or give its folder \
         with --data-dir",
        file.shown()
    )]
    Missing {
        /// The data set.
        name: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// A file has the wrong length.
    #[error(
        "{} is damaged: expected {expected} bytes, got {got}; run `resnet data fetch {name}` to \
         replace it",
        file.shown()
    )]
    WrongSize {
        /// The data set.
        name: &'static str,
        /// The file.
        file: PathBuf,
        /// Expected bytes.
        expected: u64,
        /// Actual bytes.
        got: u64,
    },
    /// A file has the right length but not the published content.
    #[error(
        "{} is damaged or a different file: expected MD5 {expected}, got {got}; run `resnet data \
         fetch {name}` to replace it",
        file.shown()
    )]
    WrongDigest {
        /// The data set.
        name: &'static str,
        /// The file.
        file: PathBuf,
        /// Expected MD5, in hexadecimal.
        expected: &'static str,
        /// Actual MD5.
        got: String,
    },
    /// A file cannot be read as what it is called.
    #[error("{} {reason}; run `resnet data fetch {name}` to replace it", file.shown())]
    Unreadable {
        /// The data set.
        name: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it, after its name.
        reason: String,
    },
    /// A file of the Python version cannot be used.
    #[error(
        "{} {reason}; run `resnet data fetch {name}` to get the binary version, which is used instead",
        file.shown()
    )]
    NotPython {
        /// The data set.
        name: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it, after its name.
        reason: String,
    },
    /// A data set cannot be loaded as it is asked for.
    #[error("{}: {message}", printable(name))]
    Unsuitable {
        /// The data set.
        name: String,
        /// Why not.
        message: String,
    },
    /// Images in memory have more or fewer bytes than their number and size say.
    #[error(
        "{images} images of {height}x{width}x{channels} cannot have {bytes} bytes of pixels: each has height x width x \
         channels, at least one"
    )]
    Pixels {
        /// Number of images.
        images: usize,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
        /// Channels of a pixel.
        channels: usize,
        /// Bytes of all pixels.
        bytes: usize,
    },
    /// The validation set would take every training image.
    #[error(
        "cannot take {validation} of {images} training images for validation: at least one must remain \
         (--validation)"
    )]
    ValidationTooLarge {
        /// Images of the validation set.
        validation: usize,
        /// Training images before it is taken.
        images: usize,
    },
    /// A class would keep no photo to train on.
    #[error(
        "cannot take {validation} of {photos} photos for validation: each class must keep at least one to \
         train on; take fewer (--validation), add photos, or give validation photos in a folder `val` next to \
         `train`"
    )]
    ClassTooSmall {
        /// Photos of the validation set.
        validation: usize,
        /// Training photos before it is taken.
        photos: usize,
    },
    /// None of the photos of a part can be used.
    #[error(
        "none of the {photos} photos can be used: `resnet data check` says what is wrong with them"
    )]
    NoneUsable {
        /// How many there are.
        photos: usize,
    },
    /// A folder or a table of photos is no data set.
    #[error(transparent)]
    Photos(#[from] PhotoSetError),
    /// Reading or writing failed.
    #[error("cannot {action} {}: {source}", path.shown())]
    Io {
        /// The action: `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Every source failed.
    #[error(
        "cannot download {name}: {}. You can download the files yourself: put {files} into {}",
        printable(reasons), folder.shown()
    )]
    Unavailable {
        /// The data set.
        name: &'static str,
        /// The error of each source.
        reasons: String,
        /// The files of the data set.
        files: String,
        /// The folder of the data set.
        folder: PathBuf,
    },
    /// A file could not be downloaded.
    #[error(
        "cannot download {url}: {}; you can download it yourself and put it into {}",
        printable(reason), folder.shown()
    )]
    FileUnavailable {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
        /// The folder to put it into.
        folder: PathBuf,
    },
    /// No photo of a data set can be read any more.
    #[error(
        "no photo in {} can be read any more ({source}): the folder is gone, or its disk",
        root.shown()
    )]
    PhotosLost {
        /// The folder.
        root: PathBuf,
        /// The error of the operating system for one of them.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("cannot start a thread that reads photos: {0}; end other programs and try again")]
    Threads(#[source] io::Error),
    /// The stop flag was set.
    #[error("the download was stopped; run the command again to continue it")]
    Stopped,
}

/// A suggestion behind an unknown name.
fn did_you_mean(similar: Option<&str>) -> String {
    similar.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

impl DataError {
    /// A file without the published content.
    pub(crate) fn wrong_digest(
        name: &'static str,
        file: &Path,
        expected: &'static str,
        got: String,
    ) -> Self {
        DataError::WrongDigest { name, file: file.to_owned(), expected, got }
    }

    /// For `map_err`: adds the action and the path to an I/O error.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| DataError::Io { action, path, source }
    }
}
