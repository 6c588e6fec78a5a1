//! `run.json`: where, when and for how many steps a run was trained.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use resnet_formats::{self as formats, Shown, atomic_write, brief};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Event, Machine, Started, time::Time};
use crate::run::{LAST, RUN_INFO, RunError};

/// The part of a run that one process trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// When it started.
    pub started: Time,
    /// When it ended. None if it still runs, failed or was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
    /// How it ended. None if it still runs, failed or was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Ending>,
    /// Steps of the run before it.
    pub from_step: u64,
    /// Steps of the run when it last saved a checkpoint.
    pub to_step: u64,
    /// The machine and the dtype.
    #[serde(flatten)]
    pub machine: Machine,
    /// Version of the library.
    pub version: String,
}

/// How a segment ended, if it did not fail otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The run is complete.
    Finished,
    /// The run was stopped, and its state was saved.
    Interrupted,
    /// Its numbers were no longer finite ([`TrainError::Diverged`](super::TrainError::Diverged)).
    Diverged,
    /// Its processes could not go on together ([`TrainError::Link`](super::TrainError::Link)).
    Lost,
}

impl Segment {
    fn new(run: &Started) -> Segment {
        Segment {
            started: Time::now(),
            ended: None,
            outcome: None,
            from_step: run.step,
            to_step: run.step,
            machine: run.machine.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// How long it took, if it ended and saved all of its steps.
    fn seconds(&self) -> Option<f64> {
        let saved = matches!(self.outcome, Some(Ending::Finished | Ending::Interrupted));
        self.ended.filter(|_| saved)?.since(self.started)
    }
}

/// The contents of `run.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    planned_seconds: Option<f64>,
    segments: Vec<Segment>,
}

/// The plan of a run whose length a time budget decided, at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimePlan {
    /// Seconds of training that were planned.
    pub planned: f64,
    /// Seconds of all segments but the last.
    pub before: f64,
}

/// Writes a run's `run.json`, which has a [segment](Segment) for each process that trains the run.
#[derive(Debug)]
pub struct RunInfo {
    path: PathBuf,
    content: Content,
    /// Whether the last segment is that of this process.
    begun: bool,
    /// Steps so far.
    step: u64,
}

impl RunInfo {
    /// The `run.json` of a folder, with its present segments.
    ///
    /// # Errors
    /// If it cannot be read; use [`RunInfo::empty`] then.
    pub fn open(folder: &Path) -> Result<RunInfo, RunInfoError> {
        let content = content(folder)?.unwrap_or_default();
        Ok(RunInfo { content, ..RunInfo::empty(folder) })
    }

    /// The `run.json` of a folder, without its present segments.
    pub fn empty(folder: &Path) -> RunInfo {
        RunInfo { path: folder.join(RUN_INFO), content: Content::default(), begun: false, step: 0 }
    }

    /// Notes how long the run is planned to take.
    ///
    /// # Errors
    /// If the file cannot be written; it is unchanged then.
    pub fn plan(&mut self, seconds: f64) -> Result<(), RunError> {
        self.content.planned_seconds = Some(seconds);
        self.save()
    }

    /// Updates the file after an event. A complete run gets no segment.
    ///
    /// # Errors
    /// If the file cannot be written; it is unchanged then.
    pub fn write(&mut self, event: &Event) -> Result<(), RunError> {
        if let Event::Started(run) = event
            && run.history.last().is_none_or(|last| last.epoch < run.epochs)
        {
            self.step = run.step;
            self.content.segments.push(Segment::new(run));
            self.begun = true;
            return self.save();
        }
        let Some(segment) = self.content.segments.last_mut().filter(|_| self.begun) else {
            return Ok(());
        };
        let outcome = match event {
            Event::Batch(batch) => {
                self.step = batch.step;
                return Ok(());
            }
            Event::Saved { path } if path.ends_with(LAST) => {
                segment.to_step = self.step;
                return self.save();
            }
            Event::Stopped { .. } => Ending::Interrupted,
            Event::Finished { .. } => Ending::Finished,
            _ => return Ok(()),
        };
        (segment.ended, segment.outcome) = (Some(Time::now()), Some(outcome));
        self.save()
    }

    /// Notes how training ended, where no event says it.
    ///
    /// # Errors
    /// If the file cannot be written; it is unchanged then.
    pub fn end(&mut self, outcome: Ending) -> Result<(), RunError> {
        let Some(segment) = self.content.segments.last_mut().filter(|_| self.begun) else {
            return Ok(());
        };
        (segment.ended, segment.outcome) = (Some(Time::now()), Some(outcome));
        self.save()
    }

    fn save(&self) -> Result<(), RunError> {
        atomic_write(&self.path, |file| {
            serde_json::to_writer_pretty(&mut *file, &self.content)?;
            file.write_all(b"\n")
        })
        .map_err(RunError::io("write", &self.path))
    }
}

/// Far more than the segments of any run need.
const MAX_BYTES: u64 = 16 << 20;

/// The segments in a run folder's `run.json`, in order. None if there is no such file, as in
/// folders of early versions.
///
/// # Errors
/// If the file cannot be read, or is not a valid `run.json`.
pub fn segments(folder: &Path) -> Result<Option<Vec<Segment>>, RunInfoError> {
    Ok(content(folder)?.map(|content| content.segments))
}

/// The time plan of a run folder, if its `run.json` has one and the time of all steps: not if a process failed or was
/// killed, or steps were trained twice.
///
/// # Errors
/// As [`segments`].
pub fn time_plan(folder: &Path) -> Result<Option<TimePlan>, RunInfoError> {
    let Some(Content { planned_seconds: Some(planned), segments }) = content(folder)? else {
        return Ok(None);
    };
    let Some((_, earlier)) = segments.split_last() else { return Ok(None) };
    let follow = segments.windows(2).all(|pair| pair[0].to_step == pair[1].from_step);
    let before: Option<f64> = earlier.iter().map(Segment::seconds).sum();
    Ok(before.filter(|_| follow).map(|before| TimePlan { planned, before }))
}

fn content(folder: &Path) -> Result<Option<Content>, RunInfoError> {
    let path = folder.join(RUN_INFO);
    let error = |message| Err(RunInfoError { path: path.clone(), message });
    let bytes = match formats::read(&path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return error(format!("cannot be read: {e}")),
    };
    match serde_json::from_slice::<Content>(&bytes) {
        Ok(content) => Ok(Some(content)),
        Err(e) => error(format!("is damaged: {}; repair or remove it", brief(&e.to_string()))),
    }
}

/// Why a `run.json` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} {message}", path.shown())]
pub struct RunInfoError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::{
        metrics::EpochMetrics,
        train::event::tests::{batch, epoch, started},
    };

    /// The events of a process that trains from one step to another, and saves.
    fn train(info: &mut RunInfo, from: u64, to: u64) {
        info.write(&started(from)).unwrap();
        for step in from + 1..=to {
            info.write(&batch(step)).unwrap();
        }
        info.write(&Event::Saved { path: Path::new("runs/a").join(LAST) }).unwrap();
        // Not saved, and another file.
        info.write(&batch(to + 1)).unwrap();
        info.write(&Event::Saved { path: "runs/a/best.safetensors".into() }).unwrap();
    }

    fn stopped() -> Event {
        Event::Stopped { resume: "runs/a".into(), epoch: 1, batch: 3 }
    }

    #[test]
    fn each_process_gets_a_segment() {
        let dir = tempfile::tempdir().unwrap();
        let open = || RunInfo::open(dir.path()).unwrap();
        assert_eq!(segments(dir.path()).unwrap(), None);
        let mut info = open();
        train(&mut info, 0, 3);
        info.write(&stopped()).unwrap();
        // Killed.
        train(&mut open(), 3, 7);
        let mut info = open();
        train(&mut info, 7, 500);
        info.write(&Event::Finished { last: epoch(), best: None }).unwrap();
        // All steps are done, but not the last evaluation.
        let mut info = open();
        info.write(&started(500)).unwrap();
        info.write(&Event::Saved { path: Path::new("runs/a").join(LAST) }).unwrap();
        info.write(&Event::Finished { last: epoch(), best: None }).unwrap();
        // Nothing is left to do.
        let mut info = open();
        let Event::Started(mut complete) = started(500) else { unreachable!() };
        complete.history = vec![epoch(), EpochMetrics { epoch: 2, ..epoch() }];
        info.write(&Event::Started(complete)).unwrap();
        info.write(&Event::Finished { last: epoch(), best: None }).unwrap();

        let segments = segments(dir.path()).unwrap().unwrap();
        let found: Vec<_> = segments.iter().map(|s| (s.from_step, s.to_step, s.outcome)).collect();
        let (stopped, done) = (Some(Ending::Interrupted), Some(Ending::Finished));
        assert_eq!(found, [(0, 3, stopped), (3, 7, None), (7, 500, done), (500, 500, done)]);
        let Event::Started(run) = started(0) else { unreachable!() };
        for segment in &segments {
            assert_eq!(segment.machine, run.machine);
            assert_eq!(segment.ended.is_some(), segment.outcome.is_some());
            assert!(segment.ended.is_none_or(|ended| ended >= segment.started));
        }
    }

    #[test]
    fn an_error_is_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut info = RunInfo::empty(dir.path());
        info.end(Ending::Lost).unwrap();
        assert_eq!(segments(dir.path()).unwrap(), None, "nothing was begun");
        train(&mut info, 0, 3);
        info.end(Ending::Lost).unwrap();
        let segments = segments(dir.path()).unwrap().unwrap();
        assert_eq!((segments[0].outcome, segments[0].to_step), (Some(Ending::Lost), 3));
        let text = fs::read_to_string(dir.path().join(RUN_INFO)).unwrap();
        assert!(text.contains("\"outcome\": \"lost\""), "{text}");
    }

    #[test]
    fn a_plan_is_compared_with_all_segments() {
        let dir = tempfile::tempdir().unwrap();
        let open = || RunInfo::open(dir.path()).unwrap();
        let plan = || time_plan(dir.path()).unwrap();
        open().plan(2.5).unwrap();
        assert_eq!(plan(), None);
        let mut info = open();
        train(&mut info, 0, 3);
        assert_eq!(plan(), Some(TimePlan { planned: 2.5, before: 0.0 }));
        info.write(&stopped()).unwrap();
        let mut last = open();
        let at = |text: &str| Time::try_from(text.to_owned()).unwrap();
        let first = &mut last.content.segments[0];
        (first.started, first.ended) =
            (at("2026-11-24T15:11:05Z"), Some(at("2026-11-24T15:11:12Z")));
        train(&mut last, 3, 7);
        assert_eq!(plan(), Some(TimePlan { planned: 2.5, before: 7.0 }));
        // Killed, so that its time is not known.
        train(&mut open(), 7, 9);
        assert_eq!(plan(), None);
        // Some of its steps were lost with another process.
        last.end(Ending::Lost).unwrap();
        train(&mut open(), 7, 9);
        assert_eq!(plan(), None);
        // Steps that were trained twice.
        last.content.segments[1].from_step = 2;
        last.save().unwrap();
        assert_eq!(plan(), None);
    }

    #[test]
    fn the_json_has_flat_segments() {
        let dir = tempfile::tempdir().unwrap();
        RunInfo::empty(dir.path()).write(&started(2)).unwrap();
        let text = fs::read_to_string(dir.path().join(RUN_INFO)).unwrap();
        let segment = &serde_json::from_str::<serde_json::Value>(&text).unwrap()["segments"][0];
        assert_eq!((&segment["from_step"], &segment["isa"]), (&2.into(), &"portable".into()));
        assert_eq!((&segment["threads"], &segment["dtype"]), (&2.into(), &"fp32".into()));
        let started = segment["started"].as_str().unwrap();
        assert!(started.starts_with("20") && started.ends_with('Z'), "{started}");
        assert_eq!(segment.get("ended"), None);
    }

    #[test]
    fn damage_is_an_error_and_can_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RUN_INFO);
        RunInfo::empty(dir.path()).write(&started(0)).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let sparse = File::create(dir.path().join("large")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        for (text, part) in [
            (String::new(), "is damaged: EOF"),
            (good[..good.len() / 2].to_owned(), "is damaged: EOF"),
            ("[".repeat(100_000), "is damaged: "),
            (good.replace("fp32", "fp8"), "unknown variant `fp8`"),
            (good.replace("\"started\": \"20", "\"started\": \"x"), "timestamp"),
        ] {
            fs::write(&path, text).unwrap();
            let error = RunInfo::open(dir.path()).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
            assert!(error.contains(part) && error.len() < 300, "{error}");
        }
        RunInfo::empty(dir.path()).write(&started(0)).unwrap();
        assert_eq!(segments(dir.path()).unwrap().unwrap().len(), 1);
        assert_eq!(time_plan(dir.path()).unwrap(), None);

        fs::rename(dir.path().join("large"), &path).unwrap();
        let error = segments(dir.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be read: it is longer than 16 MiB"), "{error}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = segments(dir.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be read: it is not a regular file"), "{error}");
        assert!(RunInfo::empty(dir.path()).write(&started(0)).is_err());
        assert!(fs::read_dir(dir.path()).unwrap().count() == 1, "nothing half-written");
    }
}
