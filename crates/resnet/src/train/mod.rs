//! The training loop, and its listeners.
//!
//! [`train`](train()) trains in a [run folder](crate::run::RunFolder). It prints nothing: it calls
//! a listener with each [`Event`]. [`Log`], [`RunInfo`] and [`TensorBoard`] are listeners that
//! write the run's files.
//!
//! ```
//! use resnet::{Arch, Cpu, config::TrainConfig, data::{LoadOptions, Parts, load}};
//! use resnet::{recipe::Recipe, run::RunFolder, train::{Event, StopFlag, train}};
//!
//! # let runs = tempfile::tempdir()?;
//! # let runs = runs.path();
//! let options = LoadOptions { limit_train: Some(64), limit_test: Some(32), ..Default::default() };
//! let data: Parts = load("synthetic", &options)?.into();
//! let (arch, size): (Arch, _) = ("resnet8".parse()?, [data.train.len(), data.classes.len()]);
//! let recipe = Recipe::of_size("fast", arch, Some(1.0), size).expect("it is in Recipe::ALL");
//! let mut config = TrainConfig::new(arch, recipe, &data, 0);
//! (config.data.limit_train, config.data.limit_test) = (options.limit_train, options.limit_test);
//!
//! let run = RunFolder::create(&runs.join("mine"), &config)?;
//! train(&run, data, &Cpu::new(2)?, &StopFlag::new(0), &mut |event| {
//!     if let Event::EpochEnd { metrics, .. } = event {
//!         println!("epoch {}: {:.2}%", metrics.epoch, metrics.score());
//!     }
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A run that was stopped goes on with the data of its configuration; photos are
//! [opened](crate::run::open_photos) instead of loaded:
//!
//! ```no_run
//! # use resnet::{Cpu, run::RunFolder, train::{StopFlag, train}};
//! let run = RunFolder::resume("runs/mine".as_ref())?;
//! let data = run.config().data.load(8)?;
//! train(&run, data, &Cpu::new(8)?, &StopFlag::new(0), &mut |_| {})?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod check_data;
mod error;
mod evaluation;
mod event;
mod feature_bytes;
mod features;
mod hello;
mod initial_weights;
mod kept_images;
mod length;
mod log;
mod lr_find;
mod machine;
mod member;
mod memory;
mod mixing;
mod preview;
mod run_info;
mod shard_step;
mod shards;
mod shared_evaluation;
mod snapshot;
mod state;
mod step_plan;
mod step_times;
mod stop_flag;
mod tensorboard;
mod time;
mod trainer;
mod whitening;

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

pub use resnet_comm::{CommError, Group};

use crate::{
    Cpu, Device,
    config::TrainConfig,
    data::{DataError, Parts},
    metrics::{Progress, State},
    run::{BEST, LAST, RunFolder, RunPhotos},
};

pub use self::{
    budget::{Speed, measure_in_group},
    check_data::check_classes,
    error::TrainError,
    event::{BatchEvent, Event, Started},
    hello::check_processes,
    length::set_epochs,
    log::Log,
    lr_find::{LrCurve, LrPoint, LrRange, lr_find},
    machine::{Machine, cpu_model},
    memory::{largest_batch, memory_of_others, needs_cpu},
    preview::{Preview, preview},
    run_info::{Ending, RunInfo, RunInfoError, Segment, TimePlan, segments, time_plan},
    step_times::{StepTime, step_times},
    stop_flag::StopFlag,
    tensorboard::TensorBoard,
    time::Time,
};
use self::{
    length::already_over,
    member::{Output, agree_on_metrics, compare_weights},
    shards::agree,
    state::{add_batch, dropped_epochs, epoch_metrics, initial_state, restarted_best},
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
    device: impl Into<Device>,
    stop: &StopFlag,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    train_in_group(&Group::alone(), run, data, device, stop, listen)
}

/// The same as process 0 of a group, whose other processes call [`join`] with the run's configuration and the
/// same data.
///
/// # Errors
/// As [`train`](train()), and if the processes cannot train together. The caller then
/// [ends](Group::abort) them all.
pub fn train_in_group(
    group: &Group,
    run: &RunFolder,
    data: impl Into<Parts>,
    device: impl Into<Device>,
    stop: &StopFlag,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    let data = data.into();
    let mut photos = RunPhotos::of(run, &data);
    if run.resume_from().is_none() {
        run.save_photos(&data).inspect_err(|_| run.abandon())?;
    }
    let (mut trainer, state, before) =
        prepare(group, run, data, device.into()).inspect_err(|_| run.abandon())?;
    if group.size() > 1 {
        group.broadcast(snapshot::to_bytes(&trainer.engine, &state)?)?;
    }
    let output = Output::of_run(run, &state);
    let when = if output.back_to.is_some() { " once a batch is trained" } else { "" };
    let dropped = dropped_epochs(run, &state).map(|text| text + when);
    listen(&Event::Started(trainer.started(run.path(), &state)?));
    let explanation = run.config().explanation().filter(|_| run.resume_from().is_none());
    let said = explanation.iter().chain(trainer.notes()).chain(&dropped);
    said.for_each(|note| listen(&Event::Note(note.clone())));
    let now = trainer.device_name();
    if let Some(before) = before.filter(|before| *before != now) {
        listen(&Event::DeviceChanged { before, now });
    }
    output.save_first(&trainer, &state, listen)?;
    let mut listen = |event: &Event| {
        listen(event);
        if let Event::EpochEnd { .. } = event
            && let Some(Err(error)) = photos.as_mut().map(RunPhotos::update)
        {
            photos = None;
            let note = format!("{error}: photos that change before --resume are not named");
            listen(&Event::Note(note));
        }
    };
    let end = go(output, &mut trainer, state, stop, &mut listen);
    end.map_err(|error| output.link_lost(output.device_lost(error), &trainer))
}

/// Takes part in the run of process 0, as another process of its group. It writes nothing, and its metrics are
/// those of process 0.
///
/// # Errors
/// As [`train_in_group`].
pub fn join(
    group: &Group,
    config: &TrainConfig,
    data: impl Into<Parts>,
    cpu: &Cpu,
    stop: &StopFlag,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    let data = data.into();
    let hosts = hello::check(group, config, &data, cpu)?;
    let mut trainer = Trainer::in_group(group, config, data, cpu, None)?;
    trainer.hosts = hosts;
    let state = snapshot::load(&group.broadcast(Vec::new())?, &mut trainer.engine);
    let state = state.ok_or_else(|| {
        CommError::Transport("process 0 sent the state of another run".to_owned())
    })?;
    let first_step = state.progress.step;
    let output = Output { config, run: None, first_step, back_to: None };
    let end = go(output, &mut trainer, state, stop, listen);
    end.map_err(|error| output.link_lost(error, &trainer))
}

/// Trains to the end of a run.
fn go(
    output: Output<'_>,
    trainer: &mut Trainer<'_>,
    mut state: State,
    stop: &StopFlag,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    let (config, group) = (output.config, trainer.group);
    let mut saved = Instant::now();
    let is_over = |state: &State| {
        let is_stuck = config.recipe.patience.is_some_and(|n| state.is_out_of_patience(n));
        state.progress.epoch > config.epochs() || is_stuck
    };
    if !is_over(&state) {
        let kept = trainer.keep_features(stop, listen);
        notes(trainer, listen);
        kept.map_err(|error| output.images_lost(error, trainer, &state, listen))?;
        let stop = agree(group, stop.load(Relaxed))?;
        if stop != 0 {
            return interrupt(output, trainer, &state, stop, listen);
        }
    } else if let Some(run) = output.run.filter(|run| !run.has_new_length()) {
        listen(&Event::Note(already_over(run, &state)));
    }
    while !is_over(&state) {
        let (_, end) = config.steps_of_epoch(state.progress.epoch);
        let mut batches = trainer.batches(&state)?;
        // On a GPU, `state` is some steps behind until all are counted.
        let (mut step, mut time) = (state.progress.step, Duration::ZERO);
        while step < end {
            let start = Instant::now();
            if !trainer.step(&mut batches, step, config.rates_at(step), stop.load(Relaxed))? {
                let error = batches.take_error().expect("the loader has a batch for every step");
                count(output, trainer, &mut state, &mut time, true, listen)?;
                notes(trainer, listen);
                return Err(output.lost(error, trainer, &state, listen));
            }
            trainer.update_average(step)?;
            step += 1;
            time += start.elapsed();
            let is_due = saved.elapsed() > SAVE_EVERY || output.is_first_of_a_way_back(step);
            let all = is_due || step == end;
            let agreed = count(output, trainer, &mut state, &mut time, all, listen)?;
            notes(trainer, listen);
            // Alone, a process stops at once; among others, when all know of it.
            let stop = if group.size() == 1 { stop.load(Relaxed) } else { agreed };
            if stop != 0 {
                count(output, trainer, &mut state, &mut time, true, listen)?;
                return interrupt(output, trainer, &state, stop, listen);
            }
            if is_due {
                output.save_last(trainer, &state, listen)?;
                saved = Instant::now();
            }
        }
        drop(batches);
        if state.progress.images == 0 {
            return Err(DataError::NoneUsable { photos: config.data.train_images }.into());
        }

        let evaluated = trainer.evaluate(stop, listen);
        notes(trainer, listen);
        let evaluated =
            evaluated.map_err(|error| output.images_lost(error, trainer, &state, listen))?;
        let Some(evaluated) = evaluated else {
            let stop = agree(group, stop.load(Relaxed))?;
            return interrupt(output, trainer, &state, stop, listen);
        };
        let epoch = state.progress.epoch;
        compare_weights(group, trainer, epoch)?;
        let metrics = evaluated.is_finite().then(|| epoch_metrics(&state, config, &evaluated));
        let Some(metrics) = agree_on_metrics(group, metrics)? else {
            return Err(output.diverged(&state));
        };
        state.end_epoch(metrics.clone());
        let best = state.is_best();
        listen(&Event::EpochEnd { metrics, best });
        if let Some(note) = restarted_best(&state).filter(|_| output.run.is_some()) {
            listen(&Event::Note(note));
        }
        if best {
            output.save(BEST, trainer, &state, listen)?;
        }
        output.save(LAST, trainer, &state, listen)?;
        if config.save_torch {
            output.save_torch(trainer, &state, listen)?;
        }
        output.write_metrics(&state)?;
        saved = Instant::now();
    }
    if state.progress.step == output.first_step && output.back_to.is_some() {
        // A complete run was resumed from another checkpoint: `last` may be damaged or older.
        output.save(LAST, trainer, &state, listen)?;
        output.write_metrics(&state)?;
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

/// Counts the steps whose results are there, or `all` that were begun, after `time` of training that is not
/// counted yet. Returns the stop flag that processes agreed on in the last of them.
fn count(
    output: Output<'_>,
    trainer: &mut Trainer<'_>,
    state: &mut State,
    time: &mut Duration,
    all: bool,
    listen: &mut dyn FnMut(&Event),
) -> Result<usize, TrainError> {
    let mut agreed = 0;
    loop {
        let start = Instant::now();
        let stepped = trainer.stepped(all)?;
        *time += start.elapsed();
        let Some(stepped) = stepped else { return Ok(agreed) };
        let event = add_batch(state, output.config, &stepped, std::mem::take(time));
        if !stepped.result.loss.is_finite() {
            return Err(output.diverged(state));
        }
        listen(&Event::Batch(event));
        agreed = stepped.stop;
    }
}

/// A trainer in the state of the run, and the device of its checkpoint, if any.
fn prepare<'a>(
    group: &'a Group,
    run: &'a RunFolder,
    data: Parts,
    device: Device,
) -> Result<(Trainer<'a>, State, Option<String>), TrainError> {
    let config = run.config();
    let hosts = hello::check(group, config, &data, device.cpu())?;
    let Some(file) = run.resume_from() else {
        let init = config.init_from.as_deref();
        let mut trainer = Trainer::in_group(group, config, data, device, init)?;
        trainer.hosts = hosts;
        trainer.begin_run()?;
        return Ok((trainer, initial_state(config), None));
    };
    // The initial weights are not needed: their file may be gone.
    let mut trainer = Trainer::in_group(group, config, data, device, None)?;
    trainer.hosts = hosts;
    let (state, before) = trainer.restore(run, file)?;
    Ok((trainer, state, before))
}

/// Passes on messages about photos.
fn notes(trainer: &Trainer<'_>, listen: &mut dyn FnMut(&Event)) {
    trainer.take_notes().into_iter().for_each(|note| listen(&Event::Note(note)));
}

/// Saves the state within an epoch, after a signal.
fn interrupt(
    output: Output<'_>,
    trainer: &Trainer<'_>,
    state: &State,
    signal: usize,
    listen: &mut dyn FnMut(&Event),
) -> Result<Outcome, TrainError> {
    output.save_last(trainer, state, listen)?;
    let Progress { epoch, batch, .. } = state.progress;
    listen(&Event::Stopped { resume: output.resume(state).to_owned(), epoch, batch });
    Ok(Outcome::Interrupted(signal))
}
