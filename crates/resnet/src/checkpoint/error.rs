//! What can be wrong with a checkpoint.

use std::path::{Path, PathBuf};

use resnet_formats::FormatError;
use thiserror::Error;

use crate::{config::ConfigError, network::StateDictError};

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file is missing, damaged, or cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A folder that holds no checkpoint.
    #[error("{} is a folder without last.safetensors: not a run, or one without a checkpoint yet", .0.display())]
    NoCheckpoint(PathBuf),
    /// The configuration of the run folder is damaged.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file does not say which network it holds.
    #[error("{} does not name its architecture: give it with --arch", .0.display())]
    NoArch(PathBuf),
    /// The file holds another network.
    #[error("{} holds {found}, not {expected}", path.display())]
    OtherArch {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The file is of another run, or the run's configuration has been changed.
    #[error("{} was not made by the run's config.toml: its {what} differs", path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// Written by a later version.
    #[error("{} has format version {found}, and {} is the highest known here: use a newer program", path.display(), super::FORMAT_VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Its metadata is damaged, or lacks what is needed.
    #[error("{}: metadata '{key}' {message}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Its tensors do not fit the network.
    #[error("{}: {source}", path.display())]
    StateDict {
        /// The file.
        path: PathBuf,
        /// Which tensor, and how.
        source: StateDictError,
    },
    /// Its tensors are not those of the architecture.
    #[error("{} is no {arch}: {message}", path.display())]
    NotThisArch {
        /// The file.
        path: PathBuf,
        /// The architecture.
        arch: String,
        /// What is missing or does not fit.
        message: String,
    },
}

impl CheckpointError {
    pub(super) fn metadata(path: &Path, key: &'static str, message: impl ToString) -> Self {
        CheckpointError::Metadata { path: path.to_owned(), key, message: message.to_string() }
    }

    pub(super) fn state_dict(path: &Path) -> impl Fn(StateDictError) -> Self {
        move |source| CheckpointError::StateDict { path: path.to_owned(), source }
    }
}
