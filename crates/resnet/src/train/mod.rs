//! The training loop.

mod budget;
mod error;
mod event;
mod initial_weights;
mod log;
mod machine;
mod run_info;
mod state;
mod stop_flag;
mod tensorboard;
mod trainer;

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use crate::{
    Cpu,
    data::Dataset,
    metrics::{Progress, State},
    run::{BEST, LAST, METRICS, RunFolder},
};

pub use self::{
    budget::{Speed, measure},
    error::TrainError,
    event::{BatchEvent, Event, Started},
    log::Log,
    machine::Machine,
    run_info::{Ending, RunInfo, RunInfoError, Segment, Time, segments},
    stop_flag::StopFlag,
    tensorboard::TensorBoard,
    trainer::check_classes,
};
use self::{
    state::{add_batch, beginning, end_epoch},
    trainer::Trainer,
};
pub use crate::metrics::EpochMetrics;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps are done; the figures of the last epoch.
    Finished(EpochMetrics),
    /// [`StopFlag`] was set, to this; the state is saved.
    Interrupted(usize),
}

/// Time between checkpoints within an epoch: what is lost to a kill, at most.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// Trains in a run folder, from its beginning or from where its checkpoint stands.
///
/// `data` holds every image of `run.config().data`, those of the validation set
/// among the training images. Events go to `listen`; the
/// folder's `log.txt` and `run.json` are written by a [`Log`] and [`RunInfo`] that listen.
///
/// # Errors
/// If training diverges, the data is not what the configuration says, or a file cannot be read or
/// written. Files that were complete before stay so; a new run that cannot even begin leaves no
/// folder.
pub fn train(
    run: &RunFolder,
    data: Dataset,
    cpu: &Cpu,
    stop: &StopFlag,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    let config = run.config();
    let (mut trainer, mut state, isa) = prepare(run, data, cpu).inspect_err(|_| run.abandon())?;
    write_metrics(run, &state)?;
    listen(&Event::Started(trainer.started(run.path(), &state)));
    trainer.notes().iter().for_each(|note| listen(&Event::Note(note.clone())));
    let now = cpu.isa().name();
    if let Some(before) = isa.filter(|before| before != now) {
        listen(&Event::IsaChanged { before, now: now.to_owned() });
    }

    let (begun, mut saved) = (state.progress.step, Instant::now());
    while state.progress.epoch <= config.epochs() {
        let (_, end) = config.steps_of_epoch(state.progress.epoch);
        let mut batches = trainer.batches(&state)?;
        while state.progress.step < end {
            let start = Instant::now();
            let batch = batches.next().expect("the loader has a batch for every step");
            let result = trainer.step(&batch, config.lr_at(state.progress.step));
            let images = batch.labels.len();
            let event = add_batch(&mut state, config, result, images, start.elapsed());
            batches.recycle(batch);
            if !result.loss.is_finite() {
                return Err(TrainError::diverged(run, &state));
            }
            listen(&Event::Batch(event));
            if stop.load(Relaxed) != 0 {
                return interrupt(run, &trainer, &state, stop, listen);
            }
            if saved.elapsed() > SAVE_EVERY {
                save(run, LAST, &trainer, &state, listen)?;
                saved = Instant::now();
            }
        }
        drop(batches);

        let Some(evaluated) = trainer.evaluate(stop, listen) else {
            return interrupt(run, &trainer, &state, stop, listen);
        };
        if !evaluated.is_finite() {
            return Err(TrainError::diverged(run, &state));
        }
        let metrics = end_epoch(&mut state, config, &evaluated);
        let best = state.is_best();
        listen(&Event::EpochEnd { metrics, best });
        if best {
            save(run, BEST, &trainer, &state, listen)?;
        }
        save(run, LAST, &trainer, &state, listen)?;
        if config.save_torch {
            save_torch(run, &trainer, &state, listen)?;
        }
        write_metrics(run, &state)?;
        saved = Instant::now();
    }
    // A checkpoint of another name had nothing left to do: `last` may be damaged, or behind.
    let last_file = run.path().join(LAST);
    if state.progress.step == begun && run.resume_from() != Some(&*last_file) {
        save(run, LAST, &trainer, &state, listen)?;
    }
    let last = state.history.pop().expect("a run has at least one epoch");
    listen(&Event::Finished { last: last.clone() });
    Ok(Outcome::Finished(last))
}

/// A trainer where the run stands, and the instruction set that it ran on so far, if it did.
fn prepare<'a>(
    run: &'a RunFolder,
    data: Dataset,
    cpu: &'a Cpu,
) -> Result<(Trainer<'a>, State, Option<String>), TrainError> {
    let config = run.config();
    let Some(file) = run.resume_from() else {
        let trainer = Trainer::new(config, data, cpu, config.init_from.as_deref())?;
        return Ok((trainer, beginning(config), None));
    };
    // The first weights do not matter any more: their file may be gone.
    let mut trainer = Trainer::new(config, data, cpu, None)?;
    let (state, isa) = trainer.restore(file).map_err(TrainError::resume(run, file))?;
    Ok((trainer, state, isa))
}

/// Saves what is done of an epoch.
fn interrupt(
    run: &RunFolder,
    trainer: &Trainer<'_>,
    state: &State,
    stop: &StopFlag,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    save(run, LAST, trainer, state, listen)?;
    let Progress { epoch, batch, .. } = state.progress;
    listen(&Event::Stopped { folder: run.path().to_owned(), epoch, batch });
    Ok(Outcome::Interrupted(stop.load(Relaxed)))
}

/// Writes a checkpoint, unless there is nothing good to write.
fn save(
    run: &RunFolder,
    name: &str,
    trainer: &Trainer<'_>,
    state: &State,
    listen: &mut dyn FnMut(&Event),
) -> Result<(), TrainError> {
    if !trainer.is_finite() {
        return Err(TrainError::diverged(run, state));
    }
    let path = run.path().join(name);
    trainer.save(&path, state).map_err(TrainError::save(run, &path))?;
    listen(&Event::Saved { path });
    Ok(())
}

/// Writes the state dict, and model with optimizer, as PyTorch users have them.
fn save_torch(
    run: &RunFolder,
    trainer: &Trainer<'_>,
    state: &State,
    listen: &mut dyn FnMut(&Event),
) -> Result<(), TrainError> {
    let model = trainer.torch_model(state);
    for (path, format) in run.torch_files() {
        model.save(&path, format).map_err(TrainError::save(run, &path))?;
        listen(&Event::Saved { path });
    }
    Ok(())
}

fn write_metrics(run: &RunFolder, state: &State) -> Result<(), TrainError> {
    run.write_metrics(&state.history).map_err(TrainError::save(run, &run.path().join(METRICS)))
}
