//! The training loop.

mod budget;
mod event;
mod log;

use std::sync::atomic::AtomicUsize;

use thiserror::Error;

use crate::{
    Cpu,
    checkpoint::CheckpointError,
    data::Dataset,
    plan::PlanError,
    run::{RunError, RunFolder},
};

pub use self::{
    budget::{Speed, measure},
    event::{BatchEvent, EpochMetrics, Event, Started},
    log::Log,
};

/// Asks a run to stop: anything but 0 (the signal's number, by custom) stops it after the batch
/// under way. `signal_hook::flag::register_usize` sets one.
pub type Stop = AtomicUsize;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps are done; the figures of the last epoch.
    Finished(EpochMetrics),
    /// [`Stop`] was set, to this; the state is saved.
    Interrupted(usize),
}

/// Why a run failed. What it had saved before is kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss is infinite or not a number.
    #[error(
        "the loss is {loss} at epoch {epoch}, batch {batch}: training diverged. Try a lower \
         --lr (it was {lr}), or a larger --batch-size; the last good checkpoint is kept"
    )]
    Diverged {
        /// The loss.
        loss: f64,
        /// The epoch, from 1.
        epoch: u64,
        /// The batch, from 1.
        batch: u64,
        /// The learning rate.
        lr: f64,
    },
    /// The data is not what the configuration says.
    #[error("{0}")]
    Data(String),
    /// The network does not fit the images.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run folder cannot be written.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Trains in a run folder, from its beginning or from where its checkpoint stands.
///
/// `data` holds every image of `run.config().data`, before the split. Events go to `listen`; the
/// folder's `log.txt` is written by a [`Log`] that listens.
pub fn train(
    _run: &mut RunFolder,
    _data: &Dataset,
    _cpu: &Cpu,
    _stop: &Stop,
    _listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    todo!()
}
