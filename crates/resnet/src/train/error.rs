//! Errors of training, with advice.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use resnet_comm::CommError;
use resnet_formats::{Shown, brief, printable, quoted_path};
use thiserror::Error;

use crate::{
    checkpoint::CheckpointError,
    config::TrainConfig,
    data::DataError,
    engine::{EngineError, PlanError},
    metrics::{Progress, State},
    run::{BEST, LAST, RunError, RunFolder},
};

/// Why a run failed. Its saved files are kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss, or a weight, is infinite or not a number.
    #[error(
        "training diverged in epoch {epoch}, batch {batch}: its numbers are no longer finite. \
         Start again with {}a learning rate below {lr} (--lr) or a larger batch (--batch-size){}",
        less(*weight_decay), from(kept.as_deref())
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u64,
        /// The batch, from 1.
        batch: u64,
        /// The recipe's learning rate.
        lr: f64,
        /// The recipe's weight decay, if it is the more likely cause: it takes more from a weight in a step than there
        /// is.
        weight_decay: Option<f32>,
        /// The last good checkpoint, if there is one.
        kept: Option<PathBuf>,
    },
    /// The data is not that of the configuration.
    #[error("{}; load the data that config.toml describes, or start a new run", printable(.0))]
    Data(String),
    /// Images lack pixels, the validation set would take all of them, or photos cannot be read.
    #[error(transparent)]
    Images(#[from] DataError),
    /// Photos can no longer be read; the state of the run is saved.
    #[error(
        "{source}; the run is saved: bring the photos back, then resume with --resume {}; or, if they are elsewhere \
         now, with resnet train FOLDER --resume {}",
        quoted_path(resume),
        quoted_path(resume)
    )]
    Lost {
        /// Why.
        source: Box<DataError>,
        /// What to resume: the run folder, or the checkpoint in it that was resumed.
        resume: PathBuf,
    },
    /// The loader's thread cannot start.
    #[error("cannot start the thread that loads images: {0}; end other programs and try again")]
    Loader(#[source] io::Error),
    /// The network does not fit the image size, or into memory; or its device failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The processes of a machine together need more memory than it has.
    #[error("{processes} processes of this machine share its memory: {source}")]
    Memory {
        /// The number of processes.
        processes: usize,
        /// What one of them lacks.
        source: PlanError,
    },
    /// The device failed in the middle of a run.
    #[error("{source}; the last checkpoint is intact: resume with --resume {}", quoted_path(run))]
    Device {
        /// Why.
        source: EngineError,
        /// The run folder.
        run: PathBuf,
    },
    /// The configuration is invalid, or the file with the initial weights or the run folder cannot be used.
    #[error(transparent)]
    Init(#[from] RunError),
    /// The checkpoint to resume from cannot be used.
    #[error("{source}{}", such_as(instead.as_deref()))]
    Resume {
        /// What is wrong with it.
        source: CheckpointError,
        /// Another checkpoint of the run, if that may help.
        instead: Option<PathBuf>,
    },
    /// The shards of the run cannot be shared by this many processes.
    #[error("{0}")]
    Shards(String),
    /// The processes of the run cannot train it together.
    #[error("{0}")]
    Processes(String),
    /// The processes of the run cannot go on together.
    #[error("training with several processes: {0}")]
    Communication(#[from] CommError),
    /// The processes cannot go on together in the middle of a run.
    #[error(
        "training with several processes ended in epoch {epoch}, step {step}{}: {}{}",
        without(hosts), sentence(source), then_resume(resume.as_deref())
    )]
    Link {
        /// Why.
        source: CommError,
        /// The machines of the processes that it is about, as far as they are known.
        hosts: Vec<String>,
        /// The epoch, from 1.
        epoch: u64,
        /// The step of the run, from 1.
        step: u64,
        /// What to resume, where that is known.
        resume: Option<PathBuf>,
    },
    /// The run cannot have this length.
    #[error("{0}")]
    Length(String),
    /// A file of the run folder cannot be written.
    #[error(
        "cannot write {}: {source}; {}, then resume with --resume {}",
        path.shown(), remedy(source), quoted_path(resume)
    )]
    Save {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
        /// What to resume: the run folder, or the checkpoint in it that was resumed.
        resume: PathBuf,
    },
}

impl From<PlanError> for TrainError {
    fn from(error: PlanError) -> Self {
        TrainError::Engine(error.into())
    }
}

impl TrainError {
    pub(super) fn diverged(config: &TrainConfig, run: Option<&RunFolder>, state: &State) -> Self {
        let Progress { epoch, batch, .. } = state.progress;
        let kept = run.map(|run| run.path().join(LAST)).filter(|last| last.exists());
        let (lr, weight_decay) = (config.recipe.lr, config.recipe.optimizer.weight_decay());
        let decay = f64::from(weight_decay);
        let weight_decay = Some(weight_decay).filter(|_| lr * decay >= 1.0 && decay > lr);
        TrainError::Diverged { epoch, batch, lr, weight_decay, kept }
    }

    /// For `map_err`: a run cannot resume from the checkpoint `file`.
    pub(super) fn resume(run: &RunFolder, file: &Path) -> impl FnOnce(CheckpointError) -> Self {
        let best = run.path().join(BEST);
        let instead = Some(best).filter(|best| best != file && best.exists());
        move |source| TrainError::Resume { instead: instead.filter(|_| source.is_damage()), source }
    }

    /// For `map_err`: a file of a run folder cannot be written.
    /// `resume` is what to resume then.
    pub(super) fn save(resume: &Path, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let (path, resume) = (path.to_owned(), resume.to_owned());
        |source| TrainError::Save { path, source, resume }
    }
}

fn less(weight_decay: Option<f32>) -> String {
    // As 1e30, not with all its digits.
    let with = |decay: f32| format!("a weight decay far below {decay:?} (--weight-decay), ");
    weight_decay.map(with).unwrap_or_default()
}

fn from(kept: Option<&Path>) -> String {
    let with =
        |file: &Path| format!(", from the last good weights with --init {}", quoted_path(file));
    kept.map(with).unwrap_or_default()
}

fn such_as(checkpoint: Option<&Path>) -> String {
    let with = |file: &Path| format!(", such as --resume {}", quoted_path(file));
    checkpoint.map(with).unwrap_or_default()
}

fn without(hosts: &[String]) -> String {
    let names: Vec<String> = hosts.iter().take(8).map(|host| brief(host).to_string()).collect();
    let more = if hosts.len() > 8 { ", ..." } else { "" };
    if hosts.is_empty() { String::new() } else { format!(", without {}{more}", names.join(", ")) }
}

fn sentence(error: &CommError) -> String {
    let text = error.to_string();
    if text.ends_with('?') { text } else { text + "." }
}

fn then_resume(run: Option<&Path>) -> String {
    let with = |run: &Path| format!(" Resume with --resume {}", quoted_path(run));
    run.map(with).unwrap_or_default()
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space",
        ErrorKind::FileTooLarge => "raise the limit on the size of a file (ulimit -f)",
        _ => "solve that",
    }
}
