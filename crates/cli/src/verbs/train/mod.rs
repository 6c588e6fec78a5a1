//! `resnet train`: starts or resumes a run.

mod announce;
mod follow;
mod resume;
mod start;

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use resnet::{
    Device,
    data::Parts,
    metrics,
    run::{self, RunFolder},
    train::{
        self, Ending, EpochMetrics, Event, Group, Log, Outcome, RunInfo, TensorBoard, TrainError,
    },
};
use resnet_formats::{Shown, quoted_path};
use serde::Serialize;

use self::announce::announce;
pub(super) use self::{
    resume::resume,
    start::{NewRun, check, configure, existing, load, start},
};
use crate::{
    args::{Global, TrainArgs, Ui},
    cores,
    interrupt::{Interrupt, Interrupted},
    photos::json_name,
    print, processes,
    progress::{Position, Progress},
};

pub(crate) fn run(args: &TrainArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let group = processes::group()?.with_timeout(args.parallel.comm.timeout);
    let mut args = args.clone();
    args.parallel.processes = group.size();
    let result = match group.is_first() {
        true => run_first(&group, &args, global),
        false => follow::run(&group, &args, global),
    };
    processes::end(group, result)
}

/// Trains as process 0, or alone.
fn run_first(group: &Group, args: &TrainArgs, global: &Global) -> anyhow::Result<u8> {
    let interrupt = Interrupt::of_training(group.size()).context("cannot catch Ctrl-C")?;
    if let Some(note) = cores::binding_note().filter(|_| global.threads.is_none()) {
        global.note(note);
    }
    // Seconds of training that a --budget planned.
    let mut planned = None;
    let (folder, data, note, device) = match &args.start.resume {
        Some(target) if !resume::is_standalone_checkpoint(target) => {
            let (folder, data, note) = resume(args, target, global, &interrupt)?;
            let device = global.resumed_device(&folder, group.size())?;
            (folder, data, note, device)
        }
        _ => {
            let (folder, data, device) = start(group, args, global, &interrupt, &mut planned)?;
            (folder, data, None, device)
        }
    };
    if let Some(planned) = planned
        && let Err(error) = RunInfo::empty(folder.path()).plan(planned)
    {
        global.note(format!("{error}: the run will not compare its time with the plan"));
    }
    announce(group, true, folder.config(), &data).inspect_err(|_| folder.abandon())?;
    let (mut printed, mut has_trained) = (Ok(()), false);
    // What to resume, if the run is stopped.
    let mut rest = folder.path().to_owned();
    let began = Instant::now();
    let session = Session {
        group,
        device: &device,
        global,
        interrupt: &interrupt,
        ui: args.ui,
        json: args.output.json,
        tensorboard: args.tensorboard,
    };
    let outcome = session.train(&folder, data, note, None, &mut |event| match event {
        Event::EpochEnd { metrics, .. } => {
            has_trained = true;
            if args.output.json && printed.is_ok() {
                printed = print::json(metrics);
            }
        }
        Event::Stopped { resume, .. } => rest.clone_from(resume),
        _ => {}
    })?;
    match outcome {
        Outcome::Finished(last) => {
            printed?;
            // Not of a run that --patience ended, or that has another length now.
            let config = folder.config();
            let is_whole = last.epoch == config.epochs() && config.earlier_lengths.is_empty();
            if let Ok(Some(plan)) = train::time_plan(folder.path())
                && is_whole
                && has_trained
            {
                let took = plan.before + began.elapsed().as_secs_f64();
                let note = drift(plan.planned, took, group.size());
                if let Ok(mut log) = Log::open(folder.path()) {
                    log.write(&Event::Note(note.clone()));
                }
                global.status(note);
            }
            if args.output.json {
                print_end(folder.path(), Ending::Finished)?;
            } else {
                let took = has_trained.then(|| began.elapsed());
                print::line(result(&last, took, folder.path()))?;
            }
            Ok(0)
        }
        Outcome::Interrupted(signal) => {
            if args.output.json && printed.is_ok() {
                // The exit code says the same.
                let _ = print_end(folder.path(), Ending::Interrupted);
            }
            global.status(format!(
                "stopped, and the run is saved. Resume it with:\n  resnet train --resume {}",
                quoted_path(&rest)
            ));
            Ok(Interrupted(signal).exit_code())
        }
    }
}

/// What runs are trained with.
pub(super) struct Session<'a> {
    /// The processes that share them; this one is the first.
    pub(super) group: &'a Group,
    pub(super) device: &'a Device,
    pub(super) global: &'a Global,
    pub(super) interrupt: &'a Interrupt,
    /// How progress is shown.
    pub(super) ui: Option<Ui>,
    /// Whether results are printed as JSON.
    pub(super) json: bool,
    /// Whether to write event files for TensorBoard.
    pub(super) tensorboard: bool,
}

impl Session<'_> {
    /// Trains in a run folder, which may have a position among other runs. Its files, the progress and
    /// `listen` get all events.
    pub(super) fn train(
        &self,
        folder: &RunFolder,
        data: Parts,
        note: Option<String>,
        position: Option<Position>,
        listen: &mut dyn FnMut(&Event),
    ) -> anyhow::Result<Outcome> {
        let Session { group, device, global, interrupt, tensorboard, .. } = *self;
        let mut log = Log::open(folder.path()).inspect_err(|_| folder.abandon())?;
        if let Some(note) = note {
            log.write(&Event::Note(note.clone()));
            global.note(note);
        }
        let mut info = Some(RunInfo::open(folder.path()).unwrap_or_else(|error| {
            let note = format!("{error}: writing a new one");
            log.write(&Event::Note(note.clone()));
            global.note(note);
            RunInfo::empty(folder.path())
        }));
        let mut board = tensorboard.then(|| TensorBoard::new(folder));
        let mut progress = Progress::new(self.ui, self.json, position, global, interrupt);
        let stop = interrupt.signal();
        let outcome = train::train_in_group(group, folder, data, device, stop, &mut |event| {
            log.write(event);
            progress.show(event);
            let mut note = |text: String| {
                let note = Event::Note(text);
                log.write(&note);
                progress.show(&note);
            };
            if let Some(Err(error)) = info.as_mut().map(|info| info.write(event)) {
                note(format!("{error}: it is no longer updated"));
                info = None;
            }
            if let Some(Err(error)) = board.as_mut().map(|board| board.write(event)) {
                note(format!("{error}: no more TensorBoard events are written"));
                board = None;
            }
            listen(event);
        });
        let ending = match &outcome {
            Err(TrainError::Diverged { .. }) => Some(Ending::Diverged),
            Err(TrainError::Link { .. }) => Some(Ending::Lost),
            _ => None,
        };
        if let (Err(error), Some(ending)) = (&outcome, ending) {
            log.write(&Event::Note(error.to_string()));
            if let Some(Err(error)) = info.as_mut().map(|info| info.end(ending)) {
                let note = format!("{error}: it does not say how the run ended");
                log.write(&Event::Note(note.clone()));
                global.note(note);
            }
        }
        Ok(outcome?)
    }
}

/// How the time of a run compares with the plan of its --budget, which so many processes measured.
fn drift(planned: f64, took: f64, processes: usize) -> String {
    let change = 100.0 * (took / planned - 1.0);
    let more = if change > 0.0 { "more" } else { "less" };
    let of = if processes > 1 { format!(", of {processes} processes") } else { String::new() };
    format!(
        "planned {}, took {}: {:.1}% {more} time than by the speed that was measured first{of}",
        print::clock(planned),
        print::clock(took),
        change.abs()
    )
}

/// The last line of `--json`. It has an `epoch` like the others, and no metrics.
#[derive(Serialize)]
struct End {
    outcome: Ending,
    folder: String,
    /// The last finished epoch.
    epoch: Option<u64>,
    best_epoch: Option<u64>,
}

fn print_end(folder: &Path, outcome: Ending) -> anyhow::Result<()> {
    let epochs = run::history(folder)?;
    print::json(&End {
        outcome,
        folder: json_name(folder),
        epoch: epochs.last().map(|last| last.epoch),
        best_epoch: metrics::best(&epochs).map(|best| best.epoch),
    })
}

/// The last line: accuracy, the time that it took to train, if anything was, and the folder.
fn result(last: &EpochMetrics, took: Option<Duration>, folder: &Path) -> String {
    let accuracy =
        last.held_out().map(|(name, _, accuracy)| format!("{name} accuracy {accuracy:.2}%"));
    let took = took.map(|took| format!("in {}", print::clock(took.as_secs_f64())));
    let result: Vec<String> = accuracy.into_iter().chain(took).collect();
    let saved = format!("saved in {}", folder.shown());
    if result.is_empty() { saved } else { format!("{}, {saved}", result.join(" ")) }
}
