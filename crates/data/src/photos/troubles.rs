//! Photos that cannot be used, each named once, and those that have changed.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

/// How many photos are named; the others are counted.
const NAMED: usize = 20;

/// The photos of a run that could not be used, or have changed.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    paths: HashSet<PathBuf>,
    notes: Vec<String>,
    /// Those that are counted but not named, since the last note.
    unnamed: usize,
    /// How often a photo had changed.
    changed: usize,
    /// Those of them that are not named, since the last note.
    unnamed_changed: usize,
}

impl Troubles {
    /// Whether a photo was reported.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.lock().paths.contains(path)
    }

    /// Reports that a photo cannot be used.
    pub(super) fn report(&self, path: PathBuf, message: impl FnOnce() -> String) {
        let mut known = self.lock();
        if known.paths.insert(path) {
            if known.paths.len() <= NAMED {
                known.notes.push(message());
            } else {
                known.unnamed += 1;
            }
        }
    }

    /// Reports that a photo has changed.
    pub(super) fn changed(&self, message: impl FnOnce() -> String) {
        let mut known = self.lock();
        known.changed += 1;
        if known.changed <= NAMED {
            known.notes.push(message());
        } else {
            known.unnamed_changed += 1;
        }
    }

    /// Adds a message.
    pub(super) fn note(&self, message: String) {
        self.lock().notes.push(message);
    }

    /// Messages since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        let mut known = self.lock();
        let mut notes = std::mem::take(&mut known.notes);
        if let more @ 1.. = std::mem::take(&mut known.unnamed) {
            let all = known.paths.len();
            notes.push(format!("{more} more photos cannot be used and are left out, {all} in all"));
        }
        if let more @ 1.. = std::mem::take(&mut known.unnamed_changed) {
            let all = known.changed;
            notes.push(format!("{more} more photos have changed, {all} in all"));
        }
        notes
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}
