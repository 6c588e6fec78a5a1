//! Run folders.

use std::{
    fs, io, mem,
    path::{Path, PathBuf},
    time::SystemTime,
};

use resnet_formats::{atomic_write, is_temporary};

use super::{
    BEST, CONFIG, LAST, LOG, METRICS, PHOTOS, Place, RunError, history, lock::LockedFolder,
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

    /// The newest run in a folder of runs (`--resume last`).
    ///
    /// # Errors
    /// If there is none.
    pub fn newest(runs: &Path) -> Result<PathBuf, RunError> {
        let started = |run: &PathBuf| -> io::Result<SystemTime> {
            fs::metadata(run.join(CONFIG))?.modified()
        };
        let entries = match fs::read_dir(runs) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(RunError::NoRuns(runs.to_owned()));
            }
            entries => entries.map_err(RunError::io("read", runs))?,
        };
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
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

    /// Takes the photos of the run from another folder from now on, and records that in its `config.toml`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn move_photos(&mut self, root: &str) -> Result<(), RunError> {
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
mod tests {
    use std::fs::File;

    use super::*;
    use crate::{config::tests::sample, data::is_output, run::is_training};

    #[test]
    fn a_new_run_is_found_and_resumed() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("deep/run");
        let run = RunFolder::create(&path, &sample()).unwrap();
        assert_eq!((run.path(), run.resume_from()), (&*path, None));
        drop(run);
        let run = RunFolder::resume(&path).unwrap();
        assert_eq!((run.config(), run.resume_from()), (&sample(), None));
    }

    #[test]
    fn a_run_is_known_as_output_among_photos() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        let run = RunFolder::create(&path, &sample()).unwrap();
        assert!(!is_output(&path), "any program has a config.toml");
        fs::write(path.join(PHOTOS), "").unwrap();
        assert!(is_output(&path));
        fs::remove_file(path.join(PHOTOS)).unwrap();
        run.write_metrics(&[]).unwrap();
        assert!(is_output(&path));
    }

    #[test]
    fn a_checkpoint_names_its_run() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        drop(RunFolder::create(&path, &sample()).unwrap());
        for name in [LAST, BEST] {
            fs::write(path.join(name), b"").unwrap();
            let run = RunFolder::resume(&path.join(name)).unwrap();
            assert_eq!((run.path(), run.resume_from()), (&*path, Some(&*path.join(name))));
        }
        let run = RunFolder::resume(&path).unwrap();
        assert_eq!(run.resume_from(), Some(&*path.join(LAST)));
    }

    #[test]
    fn a_run_that_has_trained_does_not_start_again() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        drop(RunFolder::create(&path, &sample()).unwrap());
        let epochs = crate::metrics::tests::sample().history;
        let resumed = RunFolder::resume(&path).unwrap();
        // Killed before its first epoch was recorded.
        resumed.write_metrics(&[]).unwrap();
        assert_eq!(resumed.resume_from(), None);
        drop(resumed);
        fs::write(path.join(BEST), b"").unwrap();
        let resumed = RunFolder::resume(&path).unwrap();
        assert_eq!(resumed.resume_from(), Some(&*path.join(BEST)));
        // With a recorded epoch, `last` is lost.
        resumed.write_metrics(&epochs).unwrap();
        drop(resumed);
        let message = || RunFolder::resume(&path).unwrap_err().to_string();
        let best = path.join(BEST);
        assert!(message().contains("has finished epochs"), "{}", message());
        assert!(message().ends_with(&format!("--resume {}", best.display())), "{}", message());
        let metrics = fs::read(path.join(METRICS)).unwrap();
        fs::write(path.join(METRICS), b"{").unwrap();
        assert!(message().contains("metrics.jsonl: line 1 is damaged"), "{}", message());
        fs::write(path.join(METRICS), metrics).unwrap();
        fs::remove_file(best).unwrap();
        assert!(message().ends_with(&format!("--config {}", path.display())), "{}", message());
        fs::write(path.join(LAST), b"").unwrap();
        assert_eq!(RunFolder::resume(&path).unwrap().resume_from(), Some(&*path.join(LAST)));
    }

    #[test]
    fn two_runs_do_not_share_a_folder() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        let run = RunFolder::create(&path, &sample()).unwrap();
        assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Taken(_))));
        assert!(matches!(RunFolder::examine(&path), Err(RunError::Taken(_))));
        assert!(matches!(RunFolder::resume(&path), Err(RunError::Busy(_))));
        assert!(is_training(&path));
        drop(run);
        assert!(!is_training(&path) && !is_training(runs.path()));
        let again = RunFolder::create(&path, &sample()).unwrap_err();
        assert!(again.to_string().contains("--resume"), "{again}");
        assert_eq!(TrainConfig::read(&path.join(CONFIG)).unwrap(), sample());
    }

    #[test]
    fn a_numbered_folder_is_always_new() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("deep/run");
        let place = Place::Numbered(&path);
        RunFolder::examine(place).unwrap();
        assert!(!runs.path().join("deep").exists());
        let folders = std::thread::scope(|scope| {
            [(); 4]
                .map(|()| scope.spawn(|| RunFolder::create(place, &sample()).unwrap()))
                .map(|thread| thread.join().unwrap())
        });
        let mut found = names(&runs.path().join("deep"));
        found.sort();
        assert_eq!(found, ["run", "run-2", "run-3", "run-4"]);
        RunFolder::examine(place).unwrap();
        // A folder of somebody else's counts too.
        fs::create_dir(runs.path().join("deep/run-5")).unwrap();
        let sixth = RunFolder::create(place, &sample()).unwrap();
        assert_eq!(sixth.path(), runs.path().join("deep/run-6"));
        sixth.abandon();
        drop(folders);
        assert_eq!(names(&runs.path().join("deep")).len(), 5);
    }

    #[test]
    fn other_folders_are_refused() {
        let runs = tempfile::tempdir().unwrap();
        assert!(matches!(RunFolder::resume(runs.path()), Err(RunError::NotARun(_))));
        assert!(matches!(RunFolder::resume(&runs.path().join("x")), Err(RunError::Missing(_))));
        assert!(matches!(RunFolder::newest(runs.path()), Err(RunError::NoRuns(_))));
        assert!(matches!(RunFolder::newest(&runs.path().join("x")), Err(RunError::NoRuns(_))));
    }

    #[test]
    fn a_run_that_cannot_start_leaves_no_folder() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        let mut config = sample();
        config.total_steps = 0;
        assert!(matches!(RunFolder::create(&path, &config), Err(RunError::Invalid(_))));
        assert!(!path.exists());
        fs::write(&path, b"a file").unwrap();
        assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Io { .. })));
        assert!(matches!(RunFolder::examine(&path.join("run")), Err(RunError::Io { .. })));

        let path = runs.path().join("deep/run");
        RunFolder::create(&path, &sample()).unwrap().abandon();
        assert!(!runs.path().join("deep").exists());
        // A folder that existed before stays.
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(LOG), b"a diary").unwrap();
        RunFolder::create(&path, &sample()).unwrap().abandon();
        assert_eq!(names(&path), [LOG]);
        drop(RunFolder::create(&path, &sample()).unwrap());
        RunFolder::resume(&path).unwrap().abandon();
        assert!(path.join(CONFIG).exists(), "an existing run stays");
    }

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn examining_a_folder_leaves_it_as_it_was() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("deep/run");
        RunFolder::examine(&path).unwrap();
        assert!(!runs.path().join("deep").exists());
        // A user's folder, with a file that a run would overwrite.
        fs::create_dir_all(&path).unwrap();
        RunFolder::examine(&path).unwrap();
        fs::write(path.join(".lock"), b"mine").unwrap();
        RunFolder::examine(&path).unwrap();
        RunFolder::create(&path, &sample()).unwrap().abandon();
        assert_eq!(fs::read(path.join(".lock")).unwrap(), b"mine");
        fs::remove_file(path.join(".lock")).unwrap();
        fs::write(path.join(CONFIG), b"[somebody]").unwrap();
        assert!(matches!(RunFolder::examine(&path), Err(RunError::Exists(_))));
        assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Exists(_))));
        assert_eq!(names(&path), [CONFIG]);
    }

    #[test]
    fn the_newest_run_is_the_last_started() {
        let runs = tempfile::tempdir().unwrap();
        fs::create_dir(runs.path().join("z-empty")).unwrap();
        for (name, age) in [("b", 30), ("a", 10), ("c", 20)] {
            drop(RunFolder::create(&runs.path().join(name), &sample()).unwrap());
            let config = File::options().append(true).open(runs.path().join(name).join(CONFIG));
            let begun = SystemTime::now() - std::time::Duration::from_secs(age);
            config.unwrap().set_modified(begun).unwrap();
        }
        assert_eq!(RunFolder::newest(runs.path()).unwrap(), runs.path().join("a"));
    }

    #[test]
    fn resuming_removes_temporary_files() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        drop(RunFolder::create(&path, &sample()).unwrap());
        let half = path.join(".unfinished-x");
        fs::write(&half, b"half").unwrap();
        assert!(is_temporary(&half));
        drop(RunFolder::resume(&path).unwrap());
        assert!(!half.exists());
    }
}
