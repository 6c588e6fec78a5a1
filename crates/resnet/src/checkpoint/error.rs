//! Errors of checkpoints.

use std::path::PathBuf;

use resnet_formats::Shown;
use thiserror::Error;

use crate::model_file::ModelFileError;

/// Why training cannot resume from a checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// The file has no average of the weights, but the run has one.
    #[error("{file} has the weights but not their average, which the run needs to go on: resume from last.safetensors, or start a new run from its weights with --init {file}", file = path.shown())]
    NoAverage {
        /// The file.
        path: PathBuf,
    },
    /// The file has no state of the run's optimiser.
    #[error("{file} has the weights but not the state of their optimizer, which the run needs to go on: start a new run from its weights with --init {file}", file = path.shown())]
    NoOptimizer {
        /// The file.
        path: PathBuf,
    },
    /// The file is a checkpoint of another run, or the run's configuration was changed.
    #[error("{file} was not made by the run's config.toml: its {what} differs; restore config.toml, or start a new run from its weights with --init {file}", file = path.shown())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
}

impl CheckpointError {
    /// Whether the file is damaged, so that another checkpoint may help.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, CheckpointError::File(error) if error.is_damage())
    }
}
