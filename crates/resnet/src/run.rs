//! Run folders: `config.toml`, `metrics.jsonl`, `log.txt`, `last.safetensors` and
//! `best.safetensors`.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{checkpoint::CheckpointError, config::TrainConfig};

/// A run folder of this process: no other can train in it meanwhile.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    config: TrainConfig,
}

impl RunFolder {
    /// Makes a folder for a new run and writes its `config.toml`.
    ///
    /// # Errors
    /// If the folder already holds a run, is in use, or cannot be written.
    pub fn create(_path: &Path, _config: &TrainConfig) -> Result<RunFolder, RunError> {
        todo!()
    }

    /// Opens a run to continue it: `target` is its folder, or a checkpoint in it to continue from.
    ///
    /// # Errors
    /// If the target is no run, another process trains in it, or its files are damaged.
    pub fn resume(_target: &Path) -> Result<RunFolder, RunError> {
        todo!()
    }

    /// The newest run in a folder of runs (`--resume last`).
    pub fn newest(_runs: &Path) -> Result<PathBuf, RunError> {
        todo!()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }
}

/// Why a run folder cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// It holds a run already.
    #[error("{} already holds a run: continue it with --resume {}, or choose another --out", .0.display(), .0.display())]
    Exists(PathBuf),
    /// Another process trains in it.
    #[error("another process is training in {}: wait for it to end, or choose another --out", .0.display())]
    Busy(PathBuf),
    /// There is no run.
    #[error("{} is not a run folder: it has no config.toml", .0.display())]
    NotARun(PathBuf),
    /// There are no runs.
    #[error("there is no run in {} to resume: give its folder to --resume", .0.display())]
    NoRuns(PathBuf),
    /// `config.toml` cannot be understood.
    #[error("{}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A checkpoint of the run cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}
