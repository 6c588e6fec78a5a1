//! The models of the service: loaded at the start, and replaced when their files change.

use std::{
    error::Error,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Instant, SystemTime},
};

use axum::http::StatusCode;
use resnet::predictor::Predictor;
use resnet_formats::Shown;
use serde_json::json;

use crate::{log::Log, metrics::Metrics, problem::Problem, served::Served, settings::Settings};

/// Why a model cannot be loaded. Its text is the whole message: it contains those of its sources.
pub type LoadError = Box<dyn Error + Send + Sync>;

/// Where a model comes from.
pub trait ModelSource: Send + Sync {
    /// The file or folder that [`ModelSource::load`] reads now; none if it cannot change.
    fn path(&self) -> Option<PathBuf>;

    /// Loads the model.
    ///
    /// # Errors
    /// Why it cannot be loaded, and what to do.
    fn load(&self) -> Result<Predictor, LoadError>;
}

/// The models, the first of which is the default.
pub(crate) struct Registry {
    entries: Vec<Entry>,
    max_batch: usize,
    threads: usize,
    log: Log,
    metrics: Arc<Metrics>,
}

struct Entry {
    name: String,
    source: Box<dyn ModelSource>,
    current: RwLock<Option<Arc<Served>>>,
    /// Held while the model is loaded.
    seen: Mutex<Seen>,
}

/// What is known of a model's file.
#[derive(Default)]
struct Seen {
    /// As it was when the model was last loaded, or could not be.
    loaded: Option<Fingerprint>,
    /// As it was when it was last looked at.
    last: Option<Fingerprint>,
    /// Whether its GPU was lost when it was last looked at.
    is_lost: bool,
}

/// What is known of a file, or of the files in a folder, without reading them: another one tells of a change.
type Fingerprint = Vec<FileState>;

/// Name, size, time of the last change, and identity.
type FileState = (PathBuf, u64, SystemTime, [i64; 4]);

/// When files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// Those that have changed, and not since the last look: a file that is being written is left alone.
    Changed,
    /// All.
    All,
}

impl Registry {
    pub(crate) fn new(
        sources: Vec<(String, Box<dyn ModelSource>)>,
        settings: &Settings,
        log: Log,
        metrics: Arc<Metrics>,
    ) -> Registry {
        let entry = |(name, source)| Entry {
            name,
            source,
            current: RwLock::default(),
            seen: Mutex::default(),
        };
        let entries = sources.into_iter().map(entry).collect();
        let Settings { max_batch, threads, .. } = *settings;
        Registry { entries, max_batch, threads, log, metrics }
    }

    /// Names of the models.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The model of this name, or the first one.
    pub(crate) fn get(&self, name: Option<&str>) -> Result<Arc<Served>, Problem> {
        let is_it = |entry: &&Entry| name.is_none_or(|name| name == entry.name);
        let Some(entry) = self.entries.iter().find(is_it) else {
            let names: Vec<_> = self.names().collect();
            let detail = format!("there is no such model: the models are {}", names.join(", "));
            return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_model", detail));
        };
        entry.in_service()
    }

    /// Models in service.
    pub(crate) fn ready(&self) -> Vec<Arc<Served>> {
        self.entries.iter().filter_map(|entry| entry.in_service().ok()).collect()
    }

    /// How many models are not loaded yet.
    pub(crate) fn loading(&self) -> usize {
        self.entries.iter().filter(|entry| entry.current().is_none()).count()
    }

    /// Why not all models are in service.
    pub(crate) fn unready(&self) -> Option<Problem> {
        self.entries.iter().find_map(|entry| entry.in_service().err())
    }

    /// Loads all models for the first time.
    ///
    /// # Errors
    /// If one cannot be loaded.
    pub(crate) fn load(&self) -> Result<(), LoadError> {
        self.entries.iter().try_for_each(|entry| self.replace(entry, &mut entry.seen()))
    }

    /// Loads models again. One that cannot be loaded leaves the one before in service, and the log says why.
    pub(crate) fn reload(&self, which: Reload) {
        for entry in &self.entries {
            let mut seen = entry.seen();
            let now = entry.fingerprint();
            let is_settled = now.is_some() && now == seen.last;
            let is_lost = entry.current().is_some_and(|served| served.is_lost());
            // Once: there may be another GPU, or none.
            let is_newly_lost = is_lost && !seen.is_lost;
            let has_changed = is_settled && now != seen.loaded;
            if is_newly_lost {
                self.metrics.lost(&entry.name);
            }
            let is_due = which == Reload::All || has_changed || is_newly_lost;
            (seen.last, seen.is_lost) = (now, is_lost);
            if is_due && let Err(error) = self.replace(entry, &mut seen) {
                let kept = match is_lost {
                    false => "the model before stays in service",
                    true => "no model is in service: the GPU of the one before was lost",
                };
                let error = error.to_string();
                let fields = json!({ "model": entry.name, "error": error, "detail": kept });
                self.log.write("load_failed", fields);
            }
        }
    }

    fn replace(&self, entry: &Entry, seen: &mut Seen) -> Result<(), LoadError> {
        let started = Instant::now();
        // Before it is read: a change meanwhile is seen at the next look.
        seen.loaded = entry.fingerprint();
        let predictor = entry.source.load();
        let served = predictor.and_then(|predictor| {
            let model = predictor.model();
            if !model.is_finite {
                let shown = model.path.shown();
                return Err(format!("{shown}: its weights are NaN or infinite").into());
            }
            Ok(Served::new(&entry.name, predictor, self.max_batch, self.threads)?)
        });
        let served = match served {
            Ok(served) => served,
            Err(error) => {
                self.metrics.load(&entry.name, "failed");
                return Err(error);
            }
        };
        self.metrics.load(&entry.name, "ok");
        let model = served.predictor.model();
        let fields = json!({
            "model": entry.name,
            "path": model.path.shown().to_string(),
            "arch": model.arch.to_string(),
            "classes": served.predictor.classes().len(),
            "image_size": served.side(),
            "memory_bytes": served.memory(),
            "ms": started.elapsed().as_millis() as u64,
        });
        seen.is_lost = false;
        *entry.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(served));
        self.log.write("loaded", fields);
        Ok(())
    }
}

impl Entry {
    fn current(&self) -> Option<Arc<Served>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model, or why it is not in service.
    fn in_service(&self) -> Result<Arc<Served>, Problem> {
        match self.current() {
            Some(served) if served.is_lost() => Err(Problem::gpu_lost(&self.name)),
            Some(served) => Ok(served),
            None => Err(Problem::unavailable("not_ready", "the model is being loaded", 1)),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        fingerprint(&self.source.path()?).ok()
    }
}

fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(vec![state(path.to_owned(), &metadata)?]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        // Neither a link to nothing nor what vanishes meanwhile is a file of the model.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            files.push(state(path, &metadata)?);
        }
    }
    files.sort();
    Ok(files)
}

fn state(path: PathBuf, metadata: &Metadata) -> io::Result<FileState> {
    Ok((path, metadata.len(), metadata.modified()?, identity(metadata)))
}

/// Which file it is, and when anything of it was changed: `cp -p` and `rsync -t` keep sizes and times.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> [i64; 4] {
    use std::os::unix::fs::MetadataExt;
    let number = [metadata.dev(), metadata.ino()].map(u64::cast_signed);
    [number[0], number[1], metadata.ctime(), metadata.ctime_nsec()]
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> [i64; 4] {
    [0; 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_no_file_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        fs::write(&file, "first").unwrap();
        std::os::unix::fs::symlink("gone", dir.path().join("link")).unwrap();
        let found = fingerprint(dir.path()).unwrap();
        assert_eq!(
            found.iter().map(|(path, len, ..)| (path, *len)).collect::<Vec<_>>(),
            [(&file, 5)]
        );
        fs::write(&file, "second").unwrap();
        assert_ne!(fingerprint(dir.path()).unwrap(), found);
    }

    #[cfg(unix)]
    #[test]
    fn another_file_of_the_same_size_and_time_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("net.safetensors"), dir.path().join("other"));
        fs::write(&path, "first").unwrap();
        fs::write(&other, "other").unwrap();
        let found = fingerprint(&path).unwrap();
        let set_time = |path: &Path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(found[0].2).unwrap();
        };
        // As `rsync -t` does.
        set_time(&other);
        fs::rename(&other, &path).unwrap();
        let replaced = fingerprint(&path).unwrap();
        assert_eq!((replaced[0].1, replaced[0].2), (found[0].1, found[0].2));
        assert_ne!(replaced, found);
        assert_eq!(fingerprint(&path).unwrap(), replaced);
        // As `cp -p` does, when the clock of the system has gone on.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(&path, "again").unwrap();
        set_time(&path);
        assert_ne!(fingerprint(&path).unwrap(), replaced);
    }
}
