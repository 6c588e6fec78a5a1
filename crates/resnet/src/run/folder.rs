//! Run folders.

use std::{
    fs, io, mem,
    path::{Path, PathBuf},
    time::SystemTime,
};

use resnet_formats::{atomic_write, is_temporary};

use super::{
    BEST, CONFIG, EXPERIMENT, LAST, LOG, METRICS, PHOTOS, Place, RUN_INFO, RunError, history,
    lock::LockedFolder,
};
use crate::{config::TrainConfig, metrics::EpochMetrics, model_file::SaveFormat};

/// A run folder, locked: no other process can train in it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    config: TrainConfig,
    /// The checkpoint to resume from, if there is one.
    resume_from: Option<PathBuf>,
    /// Whether it has got another length since it was opened.
    has_new_length: bool,
    /// Whether it was created by this process.
    is_new: bool,
    lock: LockedFolder,
}

impl RunFolder {
    /// Checks that a new run can go there, and leaves the folder unchanged.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn examine<'p>(place: impl Into<Place<'p>>) -> Result<(), RunError> {
        // Only creating it shows whether it can be created.
        place.into().lock()?.undo();
        Ok(())
    }

    /// Creates the folder of a new run and writes its `config.toml`.
    ///
    /// # Errors
    /// If the configuration is invalid, or the folder already has a run, is in use, or cannot be
    /// written.
    pub fn create<'p>(
        place: impl Into<Place<'p>>,
        config: &TrainConfig,
    ) -> Result<RunFolder, RunError> {
        config.check().map_err(RunError::Invalid)?;
        let lock = place.into().lock()?;
        let (path, config) = (lock.path().to_owned(), config.clone());
        if let Err(error) = config.write(&path.join(CONFIG)) {
            lock.undo();
            return Err(RunError::io("write", &path.join(CONFIG))(error));
        }
        let (resume_from, has_new_length) = (None, false);
        Ok(RunFolder { path, config, resume_from, has_new_length, is_new: true, lock })
    }

    /// Opens a run to resume it. `target` is its folder, or the checkpoint in it to resume from. A
    /// run that has saved nothing yet starts again.
    ///
    /// # Errors
    /// If the target is not a run, another process trains in it, its configuration is damaged, or its last checkpoint
    /// is missing.
    pub fn resume(target: &Path) -> Result<RunFolder, RunError> {
        let is_checkpoint = target.is_file();
        let path = if is_checkpoint { folder_of(target) } else { target };
        if !path.join(CONFIG).is_file() {
            let error = if target.symlink_metadata().is_ok() {
                RunError::NotARun
            } else {
                RunError::Missing
            };
            return Err(error(target.to_owned()));
        }
        let lock = LockedFolder::new(path).map_err(|error| match error {
            RunError::Taken(folder) => RunError::Busy(folder),
            other => other,
        })?;
        let config = TrainConfig::read(&path.join(CONFIG))?;
        let resume_from =
            if is_checkpoint { Some(target.to_owned()) } else { newest_checkpoint(path)? };
        remove_temporary(path).map_err(RunError::io("clean", path))?;
        let (path, has_new_length) = (path.to_owned(), false);
        Ok(RunFolder { path, config, resume_from, has_new_length, is_new: false, lock })
    }

    /// The runs in a folder of runs and in the experiments there, by path.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn all(runs: &Path) -> io::Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        for path in fs::read_dir(runs)?.flatten().map(|entry| entry.path()) {
            if path.join(EXPERIMENT).is_file() {
                let of_experiment = fs::read_dir(&path).into_iter().flatten().flatten();
                all.extend(of_experiment.map(|entry| entry.path()));
            } else {
                all.push(path);
            }
        }
        all.retain(|run| run.join(CONFIG).is_file());
        all.sort();
        Ok(all)
    }

    /// The newest run in a folder of runs (`--resume last`), as [`RunFolder::all`].
    ///
    /// # Errors
    /// If there is none.
    pub fn newest(runs: &Path) -> Result<PathBuf, RunError> {
        let started = |run: &PathBuf| -> io::Result<SystemTime> {
            fs::metadata(run.join(CONFIG))?.modified()
        };
        let all = match RunFolder::all(runs) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(RunError::NoRuns(runs.to_owned()));
            }
            all => all.map_err(RunError::io("read", runs))?,
        };
        all.into_iter()
            .filter_map(|run| Some((started(&run).ok()?, run)))
            .max()
            .map(|(_, run)| run)
            .ok_or_else(|| RunError::NoRuns(runs.to_owned()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Records in `config.toml` that the photos of the run are in another folder.
    pub(super) fn move_data(&mut self, root: &str) -> Result<(), RunError> {
        let mut config = self.config.clone();
        let before = mem::replace(&mut config.data.name, root.to_owned());
        // A table of labels may have moved with them.
        if let Some(labels) = config.data.photos.as_mut().and_then(|photos| photos.labels.as_mut())
            && let Ok(moved) = labels.strip_prefix(&before).map(|rest| Path::new(root).join(rest))
        {
            *labels = moved;
        }
        self.config = config;
        self.write_config()
    }

    /// Gives the run the configuration of another length, and records that. Where it goes back to an earlier
    /// checkpoint, the last one may be of a step after this length: training records both together.
    pub(crate) fn change_length(&mut self, config: TrainConfig) -> Result<(), RunError> {
        self.config = config;
        self.has_new_length = true;
        if self.earlier_checkpoint().is_some() { Ok(()) } else { self.write_config() }
    }

    /// Whether it has got another length since it was opened.
    pub(crate) fn has_new_length(&self) -> bool {
        self.has_new_length
    }

    /// Writes `config.toml`.
    pub(crate) fn write_config(&self) -> Result<(), RunError> {
        let file = self.path.join(CONFIG);
        self.config.write(&file).map_err(RunError::io("write", &file))
    }

    /// The checkpoint to resume from, if it is another one than the last.
    pub(crate) fn earlier_checkpoint(&self) -> Option<&Path> {
        self.resume_from().filter(|file| *file != self.path.join(LAST))
    }

    /// The checkpoint to resume from, if there is one.
    pub(crate) fn resume_from(&self) -> Option<&Path> {
        self.resume_from.as_deref()
    }

    /// The PyTorch files of a run, each with its format: `<arch>_<data>_state_dict.pt` and
    /// `<arch>_<data>_all.tar`.
    pub(crate) fn torch_files(&self) -> [(PathBuf, SaveFormat); 2] {
        let TrainConfig { arch, data, .. } = &self.config;
        // A folder of images has a path as its name.
        let data = Path::new(&data.name).file_stem().unwrap_or_default().to_string_lossy();
        [("state_dict.pt", SaveFormat::StateDict), ("all.tar", SaveFormat::Checkpoint)]
            .map(|(name, format)| (self.path.join(format!("{arch}_{data}_{name}")), format))
    }

    /// Removes a new run that could not start, with the folders that were created for it, as far as
    /// possible.
    pub fn abandon(&self) {
        if self.is_new && !self.path.join(LAST).exists() {
            let _ = fs::remove_file(self.path.join(CONFIG));
            let _ = fs::remove_file(self.path.join(PHOTOS));
            let _ = fs::remove_file(self.path.join(RUN_INFO));
            let log = self.path.join(LOG);
            if fs::metadata(&log).is_ok_and(|log| log.len() == 0) {
                let _ = fs::remove_file(log);
            }
            self.lock.undo();
        }
    }

    /// Writes all of `metrics.jsonl`, so that it has the epochs of the checkpoint, whenever an
    /// earlier process was killed.
    pub(crate) fn write_metrics(&self, history: &[EpochMetrics]) -> io::Result<()> {
        atomic_write(&self.path.join(METRICS), |file| {
            for epoch in history {
                serde_json::to_writer(&mut *file, epoch)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The checkpoint that a run resumes from; none if it has saved nothing yet.
fn newest_checkpoint(run: &Path) -> Result<Option<PathBuf>, RunError> {
    let [last, best] = [LAST, BEST].map(|name| Some(run.join(name)).filter(|file| file.exists()));
    if last.is_none() && !history(run)?.is_empty() {
        return Err(RunError::NoLast { folder: run.to_owned(), best });
    }
    // A first epoch is saved as the best one, then as the last, then it is recorded: a kill may come between.
    Ok(last.or(best))
}

/// Removes the temporary files of a killed process.
fn remove_temporary(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_temporary(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
