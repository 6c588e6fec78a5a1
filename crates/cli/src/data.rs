//! Loads data sets for the verbs, and downloads missing ones with a progress bar.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use resnet::{
    config::{self, DataConfig},
    data::{self, DataError, DataSource, Dataset, FetchEvent, LoadOptions, Stage},
};
use resnet_formats::{Shown, printable};

use crate::{
    args::{DataDir, Global},
    interrupt::Interrupt,
};

/// How many images of each split to load; all by default.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) train: Option<usize>,
    pub(crate) test: Option<usize>,
}

/// Loads a data set. A missing one is downloaded first, unless its folder comes from a run only.
pub(crate) fn load(
    source: DataSource,
    dir: &DataDir,
    limits: Limits,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Dataset> {
    let (limit_train, limit_test) = (limits.train, limits.test);
    let options = LoadOptions { data_dir: Some(dir.folder()?), limit_train, limit_test };
    fetched(source, dir, global, interrupt, || data::load(source.name(), &options))
}

/// Loads the data set of a run, likewise: with its limits, in its image size.
pub(crate) fn of_run(
    config: &DataConfig,
    dir: &DataDir,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Dataset> {
    let source: DataSource = config.name.parse()?;
    let dir = dir.or_of_run(config.dir.clone());
    let config = DataConfig { dir: Some(dir.folder()?), ..config.clone() };
    fetched(source, &dir, global, interrupt, || config.load(global.cpu_threads()))
}

/// What `load` gives, after a download if the data set is missing.
fn fetched(
    source: DataSource,
    dir: &DataDir,
    global: &Global,
    interrupt: &Interrupt,
    load: impl Fn() -> Result<Dataset, DataError>,
) -> anyhow::Result<Dataset> {
    match load() {
        Err(DataError::Missing { .. }) => {
            if let Some(folder) = dir.only_from_run() {
                bail!(
                    "{source} is not in {}, the folder in the run's config.toml: give its folder \
                     with --data-dir DIR",
                    folder.shown()
                );
            }
            fetch(source, &dir.folder()?, global, interrupt)?;
            Ok(load()?)
        }
        loaded => Ok(loaded?),
    }
}

/// A data set with images of `side` rows and columns, if that is given.
pub(crate) fn resized(
    set: Dataset,
    side: Option<usize>,
    global: &Global,
) -> anyhow::Result<Dataset> {
    Ok(match side {
        Some(side) => config::resize(set, side, global.cpu_threads())?,
        None => set,
    })
}

/// Notes that a folder with folders, which may be of photos, is called like this data set that was asked for.
pub(crate) fn note_folder(source: DataSource, global: &Global) {
    let name = source.name();
    let is_folder = |entry: fs::DirEntry| entry.path().is_dir();
    let has_folders = |entries: fs::ReadDir| entries.flatten().any(is_folder);
    if fs::read_dir(name).is_ok_and(has_folders) {
        global.note(format!("{name} is the data set; the folder of this name is ./{name}"));
    }
}

/// Downloads a data set unless it is complete, and returns its folder, if it has one.
pub(crate) fn fetch(
    source: DataSource,
    data_dir: &Path,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<PathBuf>> {
    let what = format!("{source} to {}", data_dir.shown());
    with_progress(&what, global, interrupt, |events, stop| {
        data::fetch(source.name(), data_dir, events, stop)
    })
}

/// Runs a download of `what` with a progress bar.
pub(crate) fn with_progress<T>(
    what: &str,
    global: &Global,
    interrupt: &Interrupt,
    download: impl FnOnce(&mut dyn FnMut(FetchEvent), &AtomicBool) -> Result<T, DataError>,
) -> anyhow::Result<T> {
    let bar = if global.quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let (mut current, mut is_said) = (None, false);
    let mut show = |event| match event {
        FetchEvent::Progress { stage, done, total } => {
            if !is_said && stage != Stage::Check {
                is_said = true;
                bar.suspend(|| global.status(format!("downloading {what}")));
            }
            if current != Some((stage, total)) {
                current = Some((stage, total));
                bar.set_style(style(total.is_some()));
                bar.set_prefix(stage.to_string());
                bar.reset();
                total.map_or_else(|| bar.unset_length(), |total| bar.set_length(total));
            }
            bar.set_position(done);
        }
        FetchEvent::Waiting => bar.suspend(|| {
            global
                .status(format!("another process is downloading {what}: waiting until it is done"))
        }),
        FetchEvent::Fallback { reason } => {
            bar.suspend(|| {
                global.status(format!("{}; trying the next source", printable(&reason)))
            });
        }
    };
    let done = download(&mut show, interrupt.requested());
    bar.finish_and_clear();
    interrupt.check()?;
    Ok(done?)
}

fn style(length_known: bool) -> ProgressStyle {
    let template = if length_known {
        "{prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
    } else {
        "{prefix} {spinner} {elapsed}"
    };
    ProgressStyle::with_template(template).expect("a constant template").progress_chars("━╸─")
}
