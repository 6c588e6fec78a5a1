//! Loads data sets for the verbs, and downloads missing ones with a progress bar.

use std::path::{Path, PathBuf};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use resnet::data::{self, DataError, DataSource, Dataset, FetchEvent, LoadOptions};
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
    let data_dir = dir.folder()?;
    let options = LoadOptions { data_dir, limit_train: limits.train, limit_test: limits.test };
    match data::load(source.name(), &options) {
        Err(DataError::Missing { .. }) => {
            if let Some(folder) = dir.only_from_run() {
                bail!(
                    "{source} is not in {}, the folder in the run's config.toml: give its folder \
                     with --data-dir DIR",
                    folder.shown()
                );
            }
            fetch(source, &options.data_dir, global, interrupt)?;
            Ok(data::load(source.name(), &options)?)
        }
        loaded => Ok(loaded?),
    }
}

/// Downloads a data set unless it is complete, and returns its folder, if it has one.
pub(crate) fn fetch(
    source: DataSource,
    data_dir: &Path,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<PathBuf>> {
    if source != DataSource::Synthetic {
        global.status(format!("downloading {source} to {}", data_dir.shown()));
    }
    let bar = if global.quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let mut current = None;
    let fetched = data::fetch(
        source.name(),
        data_dir,
        &mut |event| match event {
            FetchEvent::Progress { stage, done, total } => {
                if current != Some((stage, total)) {
                    current = Some((stage, total));
                    bar.set_style(style(total.is_some()));
                    bar.set_prefix(stage.to_string());
                    bar.reset();
                    total.map_or_else(|| bar.unset_length(), |total| bar.set_length(total));
                }
                bar.set_position(done);
            }
            FetchEvent::Fallback { reason } => {
                bar.suspend(|| {
                    global.status(format!("{}; trying the next source", printable(&reason)))
                });
            }
        },
        interrupt.requested(),
    );
    bar.finish_and_clear();
    interrupt.check()?;
    Ok(fetched?)
}

fn style(length_known: bool) -> ProgressStyle {
    let template = if length_known {
        "{prefix} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
    } else {
        "{prefix} {spinner} {elapsed}"
    };
    ProgressStyle::with_template(template).expect("a constant template").progress_chars("━╸─")
}
