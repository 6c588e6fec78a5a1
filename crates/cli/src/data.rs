//! Data sets as the verbs want them: fetched where they are missing, with a bar.

use std::path::{Path, PathBuf};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use resnet::data::{self, DataError, DataSource, Dataset, FetchEvent, LoadOptions};
use resnet_formats::{Shown, printable};

use crate::{
    args::{DataDir, Global},
    interrupt::Interrupt,
};

/// How much of a data set is wanted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) train: Option<usize>,
    pub(crate) test: Option<usize>,
}

/// Loads a data set; one that is not there is fetched first, but not to where a run says it was.
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
            if let Some(folder) = dir.of_run_alone() {
                bail!(
                    "{source} is not in {}, where the run's config.toml has it; --data-dir DIR \
                     names another folder",
                    folder.shown()
                );
            }
            fetch(source, &options.data_dir, global, interrupt)?;
            Ok(data::load(source.name(), &options)?)
        }
        loaded => Ok(loaded?),
    }
}

/// Fetches a data set unless it is whole, and returns its folder, if it has one.
pub(crate) fn fetch(
    source: DataSource,
    data_dir: &Path,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<PathBuf>> {
    global.say(format!("fetching {source} into {}", data_dir.shown()));
    let bar = if global.quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let mut under_way = None;
    let fetched = data::fetch(
        source.name(),
        data_dir,
        &mut |event| match event {
            FetchEvent::Progress { stage, done, total } => {
                if under_way != Some((stage, total)) {
                    under_way = Some((stage, total));
                    bar.set_style(style(total.is_some()));
                    bar.set_prefix(stage.to_string());
                    bar.reset();
                    total.map_or_else(|| bar.unset_length(), |total| bar.set_length(total));
                }
                bar.set_position(done);
            }
            FetchEvent::Fallback { reason } => {
                bar.suspend(|| {
                    global.say(format!("{}; trying another source", printable(&reason)))
                });
            }
        },
        interrupt.asked(),
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
