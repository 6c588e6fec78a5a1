//! The training loop, and its listeners.
//!
//! [`train`](train()) trains in a [run folder](crate::run::RunFolder). It prints nothing: it calls
//! a listener with each [`Event`]. [`Log`], [`RunInfo`] and [`TensorBoard`] are listeners that
//! write the run's files.
//!
//! ```no_run
//! use std::path::Path;
//! use resnet::{Cpu, config::TrainConfig, data::{LoadOptions, load}, run::RunFolder};
//! use resnet::train::{Event, StopFlag, train};
//!
//! let config = TrainConfig::read(Path::new("config.toml"))?;
//! let data = load(&config.data.name, &LoadOptions::default())?;
//! let run = RunFolder::create(Path::new("runs/mine"), &config)?;
//! train(&run, data, &Cpu::new(8)?, &StopFlag::new(0), &mut |event| {
//!     if let Event::EpochEnd { metrics, .. } = event {
//!         println!("epoch {}: {:.2}%", metrics.epoch, metrics.score());
//!     }
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod error;
mod event;
mod feature_bytes;
mod features;
mod initial_weights;
mod length;
mod log;
mod lr_find;
mod machine;
mod memory;
mod mixing;
mod preview;
mod run_info;
mod state;
mod step_plan;
mod stop_flag;
mod tensorboard;
mod trainer;
mod whitening;

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use crate::{
    Cpu,
    data::{DataError, Parts},
    metrics::{Progress, State},
    run::{BEST, LAST, METRICS, RunFolder},
};

pub use self::{
    budget::{Speed, measure},
    error::TrainError,
    event::{BatchEvent, Event, Started},
    length::set_epochs,
    log::Log,
    lr_find::{LrCurve, LrPoint, LrRange, lr_find},
    machine::Machine,
    memory::largest_batch,
    preview::{Preview, preview},
    run_info::{Ending, RunInfo, RunInfoError, Segment, Time, segments},
    stop_flag::StopFlag,
    tensorboard::TensorBoard,
    trainer::check_classes,
};
use self::{
    state::{add_batch, end_epoch, initial_state},
    trainer::Trainer,
};
pub use crate::metrics::EpochMetrics;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The run is complete; the metrics of the last epoch.
    Finished(EpochMetrics),
    /// The [`StopFlag`] was set to this value; the state is saved.
    Interrupted(usize),
}

/// Time between checkpoints within an epoch: the most that a killed process loses.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// Trains in a run folder, from the start or from its checkpoint.
///
/// `data` has every image of `run.config().data`; of a [`Dataset`](crate::data::Dataset), the images of
/// the validation set are among those to train on. `listen` gets all events; a [`Log`] and a [`RunInfo`] that it calls write
/// `log.txt` and `run.json`.
///
/// # Errors
/// If training diverges, the data is not that of the configuration, photos can no longer be read (the
/// state is saved then), or a file cannot be read or written. Complete files stay complete. A new run that cannot start leaves no folder.
pub fn train(
    run: &RunFolder,
    data: impl Into<Parts>,
    cpu: &Cpu,
    stop: &StopFlag,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    let config = run.config();
    let (mut trainer, mut state, isa) =
        prepare(run, data.into(), cpu).inspect_err(|_| run.abandon())?;
    write_metrics(run, &state)?;
    listen(&Event::Started(trainer.started(run.path(), &state)));
    let explanation = config.explanation().filter(|_| run.resume_from().is_none());
    let said = explanation.iter().chain(trainer.notes());
    said.for_each(|note| listen(&Event::Note(note.clone())));
    let now = cpu.isa().name();
    if let Some(before) = isa.filter(|before| before != now) {
        listen(&Event::IsaChanged { before, now: now.to_owned() });
    }

    let (first_step, mut saved) = (state.progress.step, Instant::now());
    let is_over = |state: &State| {
        let is_stuck = config.recipe.patience.is_some_and(|n| state.is_out_of_patience(n));
        state.progress.epoch > config.epochs() || is_stuck
    };
    if !is_over(&state) {
        let kept = trainer.keep_features(stop, listen);
        notes(&trainer, listen);
        let kept = kept.map_err(|error| lost(error, run, &trainer, &state, listen))?;
        if kept.is_break() {
            return interrupt(run, &trainer, &state, stop, listen);
        }
    }
    while !is_over(&state) {
        let (_, end) = config.steps_of_epoch(state.progress.epoch);
        let mut batches = trainer.batches(&state)?;
        while state.progress.step < end {
            let start = Instant::now();
            let Some(batch) = batches.next() else {
                let error = batches.take_error().expect("the loader has a batch for every step");
                notes(&trainer, listen);
                return Err(lost(error, run, &trainer, &state, listen));
            };
            let step = state.progress.step;
            let result = trainer.step(&batch, step, config.rates_at(step))?;
            trainer.update_average(step);
            let images = batch.labels.len();
            let event = add_batch(&mut state, config, result, images, start.elapsed());
            batches.recycle(batch);
            if !result.loss.is_finite() {
                return Err(TrainError::diverged(run, &state));
            }
            listen(&Event::Batch(event));
            notes(&trainer, listen);
            if stop.load(Relaxed) != 0 {
                return interrupt(run, &trainer, &state, stop, listen);
            }
            if saved.elapsed() > SAVE_EVERY {
                save(run, LAST, &trainer, &state, listen)?;
                saved = Instant::now();
            }
        }
        drop(batches);

        let evaluated = trainer.evaluate(stop, listen);
        notes(&trainer, listen);
        let evaluated = evaluated.map_err(|error| lost(error, run, &trainer, &state, listen))?;
        let Some(evaluated) = evaluated else {
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
    // A complete run was resumed from another checkpoint: `last` may be damaged or older.
    let last_file = run.path().join(LAST);
    if state.progress.step == first_step && run.resume_from() != Some(&*last_file) {
        save(run, LAST, &trainer, &state, listen)?;
    }
    if let Some(patience) = config.recipe.patience
        && state.progress.epoch <= config.epochs()
    {
        let done = state.progress.epoch - 1;
        listen(&Event::Note(format!(
            "no better epoch in {patience}: stopped after epoch {done} of {} (--patience)",
            config.epochs()
        )));
    }
    let best = state.best().cloned();
    let last = state.history.pop().expect("a run has at least one epoch");
    listen(&Event::Finished { last: last.clone(), best });
    Ok(Outcome::Finished(last))
}

/// A trainer in the state of the run, and the instruction set of its checkpoint, if any.
fn prepare<'a>(
    run: &'a RunFolder,
    data: Parts,
    cpu: &'a Cpu,
) -> Result<(Trainer<'a>, State, Option<String>), TrainError> {
    let config = run.config();
    let Some(file) = run.resume_from() else {
        let mut trainer = Trainer::new(config, data, cpu, config.init_from.as_deref())?;
        if config.init_from.is_none() {
            trainer.whiten();
        }
        return Ok((trainer, initial_state(config), None));
    };
    // The initial weights are not needed: their file may be gone.
    let mut trainer = Trainer::new(config, data, cpu, None)?;
    let (state, isa) = trainer.restore(file).map_err(TrainError::resume(run, file))?;
    Ok((trainer, state, isa))
}

/// Passes on messages about photos.
fn notes(trainer: &Trainer<'_>, listen: &mut dyn FnMut(&Event)) {
    trainer.take_notes().into_iter().for_each(|note| listen(&Event::Note(note)));
}

/// Saves the state of a run whose photos can no longer be read.
fn lost(
    source: DataError,
    run: &RunFolder,
    trainer: &Trainer<'_>,
    state: &State,
    listen: &mut dyn FnMut(&Event),
) -> TrainError {
    match save(run, LAST, trainer, state, listen) {
        Ok(()) => TrainError::Lost { source, run: run.path().to_owned() },
        Err(error) => error,
    }
}

/// Saves the state within an epoch.
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

/// Writes a checkpoint, unless a weight is not finite.
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

/// Writes the PyTorch files: state dict, and checkpoint with optimizer.
fn save_torch(
    run: &RunFolder,
    trainer: &Trainer<'_>,
    state: &State,
    listen: &mut dyn FnMut(&Event),
) -> Result<(), TrainError> {
    for (path, format) in run.torch_files() {
        trainer
            .torch_model(state, format)
            .save(&path, format)
            .map_err(TrainError::save(run, &path))?;
        listen(&Event::Saved { path });
    }
    Ok(())
}

fn write_metrics(run: &RunFolder, state: &State) -> Result<(), TrainError> {
    run.write_metrics(&state.history).map_err(TrainError::save(run, &run.path().join(METRICS)))
}
