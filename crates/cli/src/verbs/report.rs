//! `resnet report`: an HTML report of one run or several.

mod evaluation;
mod gather;
mod machine;
mod reproduce;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;
use resnet::{run::CONFIG, train::Segment};
use resnet_formats::{Destination, Shown, atomic_write};
use resnet_pictures::report::{self, Report, Run};
use serde::Serialize;

use self::gather::Gathered;
use crate::{
    args::{Global, ReportArgs},
    error::refuse_stdout,
    photos::json_name,
    pictures, print, runs,
};

/// Default name of the report, and its suffix.
const REPORT: &str = "report";
const SUFFIX: &str = ".html";

/// The output of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    report: String,
    bytes: usize,
    runs: Vec<RunRecord<'a>>,
}

#[derive(Serialize)]
struct RunRecord<'a> {
    name: &'a str,
    folder: String,
    arch: &'a str,
    data: &'a str,
    state: report::State,
    epochs_done: usize,
    epochs: u64,
    test_accuracy: Option<f64>,
    best_test_accuracy: Option<f64>,
    /// Of the network that was evaluated for the report, percent.
    accuracy: Option<f64>,
    command: &'a str,
    /// The processes that trained it, with times and machines.
    segments: &'a [Segment],
    /// Why there is no evaluation.
    note: Option<&'a str>,
}

pub(crate) fn run(args: &ReportArgs, global: &Global) -> anyhow::Result<()> {
    if args.output.json {
        refuse_stdout("--out", args.out.as_deref())?;
    }
    let folder = |run: &PathBuf| Ok(runs::resolve(run)?.into_owned());
    let folders: Vec<PathBuf> = args.runs.iter().map(folder).collect::<anyhow::Result<_>>()?;
    let (mut runs, mut details) = (Vec::new(), Vec::new());
    // A pattern such as runs/* may also find experiments and files.
    let is_other = |path: &PathBuf| path.exists() && !path.join(CONFIG).is_file();
    let (others, found): (Vec<_>, Vec<_>) = folders.iter().cloned().partition(is_other);
    let folders = if found.is_empty() { folders } else { found };
    for other in others.iter().filter(|other| !folders.contains(other)) {
        global.note(format!("{} is left out: it is not a run folder", other.shown()));
    }
    for folder in &folders {
        let Gathered { run, config, segments } = gather::gather(folder)?;
        runs.push(run);
        details.push((config, segments));
    }
    gather::make_distinct(&mut runs, &folders);
    if !args.no_eval {
        for ((run, (config, _)), folder) in runs.iter_mut().zip(&details).zip(&folders) {
            evaluation::add(run, config, folder, args, global)?;
        }
    }
    let report = Report { title: args.title.clone(), written_by: written_by(), runs };
    let html = report::html(&report);
    let write = |place: Destination<'_>| {
        atomic_write(place, |file| file.write_all(html.as_bytes()))
            .with_context(|| format!("cannot write {}", place.path().shown()))
    };
    let path = match (&args.out, folders.as_slice()) {
        (Some(out), _) => {
            write(Destination::Follow(out))?;
            out.clone()
        }
        (None, [folder]) => {
            // It may be a link in an untrusted folder.
            let path = folder.join(format!("{REPORT}{SUFFIX}"));
            write(Destination::Replace(&path))?;
            path
        }
        // Reports of other runs may be here.
        (None, _) => pictures::write_new(REPORT, SUFFIX, html.as_bytes())?,
    };
    if args.output.json {
        let records = report.runs.iter().zip(&folders).zip(&details);
        print::json(&Record {
            report: json_name(&path),
            bytes: html.len(),
            runs: records
                .map(|((run, folder), (_, segments))| record(run, folder, segments))
                .collect(),
        })?;
    } else if !args.out.as_deref().is_some_and(|out| Destination::Follow(out).is_stdout()) {
        print::line(path.shown().to_string())?;
    }
    if args.open {
        open::that_detached(&path).with_context(|| format!("cannot open {}", path.shown()))?;
    }
    Ok(())
}

fn record<'a>(run: &'a Run, folder: &Path, segments: &'a [Segment]) -> RunRecord<'a> {
    RunRecord {
        name: &run.name,
        folder: json_name(folder),
        arch: &run.arch,
        data: &run.data,
        state: run.state,
        epochs_done: run.metrics.len(),
        epochs: run.epochs,
        test_accuracy: run.last().and_then(|last| last.test_accuracy),
        best_test_accuracy: run.best().and_then(|best| best.test_accuracy),
        accuracy: run.evaluation.as_ref().map(|e| e.accuracy),
        command: &run.command,
        segments,
        note: run.note.as_deref(),
    }
}

/// Name and version of the program, and the date.
pub(super) fn written_by() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let day = now.split('T').next().unwrap_or_default();
    format!("resnet {} on {day}", env!("CARGO_PKG_VERSION"))
}
