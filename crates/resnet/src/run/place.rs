//! Where a new run goes.

use std::path::Path;

use super::{
    BEST, CONFIG, LAST, METRICS, RUN_INFO, RunError,
    lock::{LockedFolder, is_training},
};

/// Where a new run goes. A path alone is [`Place::Exactly`].
#[derive(Clone, Copy, Debug)]
pub enum Place<'p> {
    /// This folder, which has no run yet.
    Exactly(&'p Path),
    /// A new folder of this name or, if that exists, of the first free one with `-2`, `-3`, ... behind
    /// it: runs that start at the same time get a folder each.
    Numbered(&'p Path),
}

impl<'p, P: AsRef<Path> + ?Sized> From<&'p P> for Place<'p> {
    fn from(path: &'p P) -> Self {
        Place::Exactly(path.as_ref())
    }
}

impl Place<'_> {
    /// Creates the folder if necessary, and locks it.
    pub(super) fn lock(self) -> Result<LockedFolder, RunError> {
        match self {
            Place::Exactly(path) => {
                refuse_run(path)?;
                let lock = LockedFolder::new(path)?;
                // Another process may have created a run meanwhile.
                refuse_run(path)?;
                Ok(lock)
            }
            Place::Numbered(path) => LockedFolder::numbered(path),
        }
    }
}

/// Refuses a folder that has a run.
fn refuse_run(folder: &Path) -> Result<(), RunError> {
    // A dangling link counts too.
    let is_there = |name: &&str| folder.join(name).symlink_metadata().is_ok();
    if ![CONFIG, METRICS, RUN_INFO, LAST, BEST].iter().any(is_there) {
        return Ok(());
    }
    let error = if is_training(folder) { RunError::Taken } else { RunError::Exists };
    Err(error(folder.to_owned()))
}
