//! The training loop.

mod budget;
mod event;
mod log;
mod state;
mod trainer;

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    Cpu,
    checkpoint::CheckpointError,
    config::TrainConfig,
    data::{DataError, Dataset},
    plan::PlanError,
    run::{BEST, LAST, RunError, RunFolder},
};

pub use self::{
    budget::{Speed, measure},
    event::{BatchEvent, EpochMetrics, Event, Started},
    log::Log,
};
#[cfg(test)]
pub(crate) use state::tests;
pub(crate) use state::{Progress, State};
use trainer::Trainer;

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
    /// The loss, or a weight, is infinite or not a number.
    #[error(
        "training diverged in epoch {epoch}, batch {batch}: its numbers are no longer finite. Try \
         a lower learning rate (--lr, which is {lr}) or a larger batch (--batch-size); the last \
         good checkpoint is kept"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u64,
        /// The batch, from 1.
        batch: u64,
        /// The recipe's learning rate.
        lr: f64,
    },
    /// The data is not what the configuration says.
    #[error("{0}")]
    Data(String),
    /// No images can be held out.
    #[error(transparent)]
    Split(#[from] DataError),
    /// The loader has no thread to run on.
    #[error("cannot start the thread that loads images: {0}")]
    Loader(io::Error),
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

impl TrainError {
    fn diverged(config: &TrainConfig, state: &State) -> Self {
        let Progress { epoch, batch, .. } = state.progress;
        TrainError::Diverged { epoch, batch, lr: config.recipe.lr }
    }
}

/// Time between checkpoints within an epoch: what is lost to a kill, at most.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// Trains in a run folder, from its beginning or from where its checkpoint stands.
///
/// `data` holds every image of `run.config().data`, before the split. Events go to `listen`; the
/// folder's `log.txt` is written by a [`Log`] that listens.
///
/// # Errors
/// If training diverges, the data is not what the configuration says, or a file cannot be read or
/// written. Files that were complete before stay so.
pub fn train(
    run: &RunFolder,
    data: Dataset,
    cpu: &Cpu,
    stop: &Stop,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    let config = run.config();
    let mut trainer = Trainer::new(config, data, cpu)?;
    let mut state = match run.resume_from() {
        Some(file) => trainer.restore(file)?,
        None => State::new(),
    };
    run.write_metrics(&state.history)?;
    listen(&Event::Started(trainer.started(run.path(), &state)));

    let mut saved = Instant::now();
    while state.progress.epoch <= config.epochs() {
        let (_, end) = config.steps_of_epoch(state.progress.epoch);
        let mut batches = trainer.batches(&state)?;
        while state.progress.step < end {
            let start = Instant::now();
            let batch = batches.next().expect("the loader has a batch for every step");
            let result = trainer.step(&batch, config.lr_at(state.progress.step));
            let event = state.add_batch(config, result, batch.labels.len(), start.elapsed());
            batches.recycle(batch);
            if !result.loss.is_finite() {
                return Err(TrainError::diverged(config, &state));
            }
            listen(&Event::Batch(event));
            if stop.load(Relaxed) != 0 {
                return interrupt(run, &trainer, &state, stop, listen);
            }
            if saved.elapsed() > SAVE_EVERY {
                trainer.save(run.path().join(LAST), &state, listen)?;
                saved = Instant::now();
            }
        }
        drop(batches);

        let Some(evaluated) = trainer.evaluate(stop, listen) else {
            return interrupt(run, &trainer, &state, stop, listen);
        };
        if !evaluated.is_finite() {
            return Err(TrainError::diverged(config, &state));
        }
        let metrics = state.end_epoch(config, &evaluated);
        listen(&Event::EpochEnd(metrics));
        if state.is_best() {
            trainer.save(run.path().join(BEST), &state, listen)?;
        }
        trainer.save(run.path().join(LAST), &state, listen)?;
        run.write_metrics(&state.history)?;
        saved = Instant::now();
    }
    let last = state.history.pop().expect("a run has at least one epoch");
    listen(&Event::Finished { last: last.clone() });
    Ok(Outcome::Finished(last))
}

/// Saves what is done of an epoch.
fn interrupt(
    run: &RunFolder,
    trainer: &Trainer<'_>,
    state: &State,
    stop: &Stop,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    trainer.save(run.path().join(LAST), state, listen)?;
    let Progress { epoch, batch, .. } = state.progress;
    listen(&Event::Stopped { folder: run.path().to_owned(), epoch, batch });
    Ok(Outcome::Interrupted(stop.load(Relaxed)))
}
