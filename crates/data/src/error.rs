//! What can go wrong with data sets.

use std::{
    io,
    path::{Path, PathBuf},
};

use resnet_formats::{Shown, brief, printable};
use thiserror::Error;

/// Why a data set cannot be loaded, fetched or divided.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set has this name.
    #[error("no data set is called `{}`; there are {known}", brief(name))]
    UnknownName {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no folder to keep data sets in.
    #[error(
        "this user has no cache folder to keep data sets in; name one with --data-dir or RESNET_DATA"
    )]
    NoDataDir,
    /// A file of the data set is not there: fetching it would help.
    #[error(
        "{name} is not complete: there is no file {}; run `resnet data fetch {name}`, or say with \
         --data-dir where it is",
        file.shown()
    )]
    Missing {
        /// The data set.
        name: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// A file has another length than its layout says.
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
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        got: u64,
    },
    /// A file of the right length has another content than the published one.
    #[error(
        "{} is damaged, or another file: expected MD5 {expected}, got {got}; run `resnet data \
         fetch {name}` to replace it",
        file.shown()
    )]
    WrongDigest {
        /// The data set.
        name: &'static str,
        /// The file.
        file: PathBuf,
        /// MD5 it should have, in hexadecimal.
        expected: &'static str,
        /// MD5 it has.
        got: String,
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
    /// Reading or writing failed.
    #[error("cannot {action} {}: {source}", path.shown())]
    Io {
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is fetching into the same folder.
    #[error("another process is fetching into {}; wait until it is done", folder.shown())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// No source could be reached or trusted.
    #[error(
        "cannot fetch {name}: {}. By hand: put {files} into {}",
        printable(reasons), folder.shown()
    )]
    Unavailable {
        /// The data set.
        name: &'static str,
        /// What each source had to say.
        reasons: String,
        /// The files that are needed.
        files: String,
        /// Where they go.
        folder: PathBuf,
    },
    /// The stop flag was set.
    #[error("stopped before the data set was complete")]
    Stopped,
}

impl DataError {
    /// For `map_err`: an input or output error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| DataError::Io { action, path, source }
    }
}
