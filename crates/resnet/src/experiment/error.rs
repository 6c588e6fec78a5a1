//! Errors of experiments.

use std::{io, path::PathBuf};

use resnet_formats::Shown;
use thiserror::Error;

use crate::run::RunError;

/// Why an experiment cannot be started or continued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The folder has an experiment with other settings.
    #[error(
        "{} has another experiment ({difference}): choose another --out, or give its settings to continue it",
        folder.shown()
    )]
    Other {
        /// The folder.
        folder: PathBuf,
        /// The first setting that differs, as it is there and as it was asked for.
        difference: String,
    },
    /// The folder is a run's.
    #[error("{} is a run folder: choose another --out for an experiment", .0.shown())]
    Run(PathBuf),
    /// Another process works on the experiment.
    #[error("another process is running the experiment in {}: wait for it to end, or stop it", .0.shown())]
    Busy(PathBuf),
    /// The file of settings, or a run of the experiment, is not what the experiment wrote.
    #[error("{}: {message}", path.shown())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The photos are no longer those that the experiment began with.
    #[error(
        "{} has other photos than when the experiment began ({before} then, {now} now): make it as it was, or \
         begin another experiment (--out)",
        root.shown()
    )]
    Photos {
        /// Their folder.
        root: PathBuf,
        /// How many there were.
        before: usize,
        /// How many there are.
        now: usize,
    },
    /// A run folder cannot be read.
    #[error(transparent)]
    History(#[from] RunError),
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.shown())]
    Io {
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}
