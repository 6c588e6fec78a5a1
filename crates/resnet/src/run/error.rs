//! Errors of run folders.

use std::{
    io,
    path::{Path, PathBuf},
};

use resnet_formats::{Shown, quoted_path};
use thiserror::Error;

use crate::{config::ConfigError, data::DataError, model_file::ModelFileError};

/// Why a run folder cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The folder already has a run.
    #[error("{} already has a run: resume it with --resume {}, or choose another --out", .0.shown(), quoted_path(.0))]
    Exists(PathBuf),
    /// Another process trains in the folder that a new run should get.
    #[error("another process is training in {}: choose another --out", .0.shown())]
    Taken(PathBuf),
    /// Another process trains in the run that should be resumed.
    #[error("another process is training in {}: wait for it to end, or stop it", .0.shown())]
    Busy(PathBuf),
    /// There is no such folder or file.
    #[error("{} does not exist: give --resume a run folder, or `last` for the newest in runs", .0.shown())]
    Missing(PathBuf),
    /// The folder is not a run.
    #[error("{} is not a run, nor a checkpoint in one (there is no config.toml): give --resume a run folder, or `last` for the newest in runs", .0.shown())]
    NotARun(PathBuf),
    /// A run has finished epochs, and the checkpoint that it would resume from is missing.
    #[error(
        "{} has no last.safetensors, but it has finished epochs: put the file back, {}",
        folder.shown(), other_start(folder, best.as_deref())
    )]
    NoLast {
        /// The folder.
        folder: PathBuf,
        /// Its best checkpoint, if there is one.
        best: Option<PathBuf>,
    },
    /// There are no runs.
    #[error("there is no run in {}, so there is no `last`: give the folder of a run", .0.shown())]
    NoRuns(PathBuf),
    /// The configuration of a new run is invalid.
    #[error("{0}")]
    Invalid(String),
    /// The configuration of a run is damaged.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The checkpoint of a run, or the model of another file, cannot be used.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The photos of a run cannot be opened.
    #[error(transparent)]
    Photos(#[from] DataError),
    /// Photos of a run are not in the folder that they should be taken from.
    #[error(
        "{} and {more} more photos of the run are not there: bring all that the run knows to {}, under the same names",
        first.shown(), root.shown()
    )]
    PhotosMissing {
        /// The first of them.
        first: PathBuf,
        /// The number of others.
        more: usize,
        /// The folder.
        root: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.shown())]
    Io {
        /// What was tried: `read`, `write`, `create`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RunError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunError {
        let path = path.to_owned();
        move |source| RunError::Io { action, path, source }
    }
}

/// What to do without the last checkpoint of a run.
fn other_start(folder: &Path, best: Option<&Path>) -> String {
    match best {
        Some(best) => format!("or go back to the best epoch with --resume {}", quoted_path(best)),
        None => format!("or start a new run like it with --config {}", quoted_path(folder)),
    }
}
