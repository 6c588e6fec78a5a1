//! Run folders: `config.toml`, `metrics.jsonl`, `log.txt`, `last.safetensors` and
//! `best.safetensors`.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use resnet_formats::{atomic_write, is_temporary};
use thiserror::Error;

use crate::{
    config::{ConfigError, TrainConfig},
    train::EpochMetrics,
};

/// The configuration of a run.
pub const CONFIG: &str = "config.toml";
/// A line of JSON an epoch.
pub const METRICS: &str = "metrics.jsonl";
/// What was told while it ran.
pub const LOG: &str = "log.txt";
/// The newest checkpoint.
pub const LAST: &str = "last.safetensors";
/// The checkpoint of the highest accuracy.
pub const BEST: &str = "best.safetensors";
/// Locked by the process that trains; the system unlocks it however that process ends.
const LOCK: &str = ".lock";

/// A run folder of this process: no other can train in it meanwhile.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    config: TrainConfig,
    /// The checkpoint to continue from, if there is one.
    resume_from: Option<PathBuf>,
    _lock: File,
}

impl RunFolder {
    /// Makes a folder for a new run and writes its `config.toml`.
    ///
    /// # Errors
    /// If the folder already holds a run, is in use, or cannot be written.
    pub fn create(path: &Path, config: &TrainConfig) -> Result<RunFolder, RunError> {
        config.check().map_err(RunError::Invalid)?;
        fs::create_dir_all(path).map_err(RunError::io("create", path))?;
        let lock = lock(path)?;
        if [CONFIG, METRICS, LAST, BEST].iter().any(|name| path.join(name).exists()) {
            return Err(RunError::Exists(path.to_owned()));
        }
        if let Err(error) = config.write(&path.join(CONFIG)) {
            // Leaves nothing of a run that could not begin, where the system lets it.
            let _ = fs::remove_file(path.join(LOCK)).and_then(|()| fs::remove_dir(path));
            return Err(RunError::io("write", &path.join(CONFIG))(error));
        }
        let (path, config) = (path.to_owned(), config.clone());
        Ok(RunFolder { path, config, resume_from: None, _lock: lock })
    }

    /// Opens a run to continue it: `target` is its folder, or a checkpoint in it to continue from.
    /// A run that was killed before its first checkpoint begins again.
    ///
    /// # Errors
    /// If the target is no run, another process trains in it, or its configuration is damaged.
    pub fn resume(target: &Path) -> Result<RunFolder, RunError> {
        let (path, resume_from) = if target.is_file() {
            (folder_of(target), Some(target.to_owned()))
        } else {
            (target, Some(target.join(LAST)).filter(|last| last.exists()))
        };
        if !path.join(CONFIG).is_file() {
            return Err(RunError::NotARun(target.to_owned()));
        }
        let lock = lock(path)?;
        let config = TrainConfig::read(&path.join(CONFIG))?;
        remove_temporary(path).map_err(RunError::io("clean", path))?;
        Ok(RunFolder { path: path.to_owned(), config, resume_from, _lock: lock })
    }

    /// The newest run in a folder of runs (`--resume last`).
    ///
    /// # Errors
    /// If there is none.
    pub fn newest(runs: &Path) -> Result<PathBuf, RunError> {
        let begun = |run: &PathBuf| -> io::Result<SystemTime> {
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
            .filter_map(|run| Some((begun(&run).ok()?, run)))
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

    /// The checkpoint to continue from, if there is one.
    pub(crate) fn resume_from(&self) -> Option<&Path> {
        self.resume_from.as_deref()
    }

    /// Writes `metrics.jsonl` anew: it always tells of the epochs that the checkpoint has behind
    /// it, whenever the process was killed.
    pub(crate) fn write_metrics(&self, history: &[EpochMetrics]) -> Result<(), RunError> {
        let path = self.path.join(METRICS);
        atomic_write(&path, |file| {
            for epoch in history {
                serde_json::to_writer(&mut *file, epoch)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })
        .map_err(RunError::io("write", &path))
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn lock(folder: &Path) -> Result<File, RunError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(RunError::io("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::Busy(folder.to_owned())),
        Err(TryLockError::Error(e)) => Err(RunError::io("lock", &path)(e)),
    }
}

/// Removes what a killed process was writing.
fn remove_temporary(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_temporary(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Why a run folder cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// It holds a run already.
    #[error("{} already holds a run: continue it with --resume {}, or choose another --out", .0.display(), .0.display())]
    Exists(PathBuf),
    /// Another process trains in it.
    #[error("another process is training in {}: wait for it to end, or choose another --out", .0.display())]
    Busy(PathBuf),
    /// There is no run.
    #[error("{} is not a run, nor a checkpoint in one: there is no config.toml", .0.display())]
    NotARun(PathBuf),
    /// There are no runs.
    #[error("there is no run in {} to resume: give its folder to --resume", .0.display())]
    NoRuns(PathBuf),
    /// The configuration of a new run asks for the impossible.
    #[error("{0}")]
    Invalid(String),
    /// The configuration of a run is damaged.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RunError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunError {
        let path = path.to_owned();
        move |source| RunError::Io { action, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::sample;

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
    fn two_runs_do_not_share_a_folder() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        let run = RunFolder::create(&path, &sample()).unwrap();
        assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Busy(_))));
        assert!(matches!(RunFolder::resume(&path), Err(RunError::Busy(_))));
        drop(run);
        let again = RunFolder::create(&path, &sample()).unwrap_err();
        assert!(again.to_string().contains("--resume"), "{again}");
        assert_eq!(TrainConfig::read(&path.join(CONFIG)).unwrap(), sample());
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let runs = tempfile::tempdir().unwrap();
        assert!(matches!(RunFolder::resume(runs.path()), Err(RunError::NotARun(_))));
        assert!(matches!(RunFolder::resume(&runs.path().join("x")), Err(RunError::NotARun(_))));
        assert!(matches!(RunFolder::newest(runs.path()), Err(RunError::NoRuns(_))));
        assert!(matches!(RunFolder::newest(&runs.path().join("x")), Err(RunError::NoRuns(_))));
    }

    #[test]
    fn a_run_that_cannot_begin_leaves_no_folder() {
        let runs = tempfile::tempdir().unwrap();
        let path = runs.path().join("run");
        let mut config = sample();
        config.total_steps = 0;
        assert!(matches!(RunFolder::create(&path, &config), Err(RunError::Invalid(_))));
        assert!(!path.exists());
        fs::write(&path, b"a file").unwrap();
        assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Io { .. })));
    }

    #[test]
    fn the_newest_run_is_the_last_begun() {
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
    fn resuming_sweeps_up_after_a_kill() {
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
