//! One process at a time trains in a run folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use resnet_formats::{Lock, is_locked, lock};

use super::RunError;

/// Locked by the process that trains; the system unlocks it however that process ends.
const LOCK: &str = ".lock";

/// Whether a process trains in a run folder.
pub fn is_training(folder: &Path) -> bool {
    is_locked(&folder.join(LOCK))
}

/// A folder that no other process trains in while this lives.
#[derive(Debug)]
pub(super) struct LockedFolder {
    path: PathBuf,
    /// The folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
    lock: Lock,
}

impl LockedFolder {
    /// Locks a folder, which is made if need be.
    pub(super) fn new(path: &Path) -> Result<Self, RunError> {
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made: Vec<_> = path.ancestors().take_while(missing).map(Path::to_owned).collect();
        if path.is_symlink() && !path.exists() {
            let error = io::Error::other("it is a link that leads nowhere");
            return Err(RunError::io("create", path)(error));
        }
        fs::create_dir_all(path).map_err(RunError::io("create", path))?;
        let file = path.join(LOCK);
        match lock(&file).map_err(RunError::io("write", &file))? {
            Some(lock) => Ok(LockedFolder { path: path.to_owned(), made, lock }),
            None => Err(RunError::Taken(path.to_owned())),
        }
    }

    /// Leaves nothing of what was made, where the system lets it. A lock is empty: a file of its
    /// name with something in it is the user's.
    pub(super) fn undo(&self) {
        if self.lock.file().metadata().is_ok_and(|lock| lock.len() == 0) {
            let _ = fs::remove_file(self.path.join(LOCK));
        }
        let _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}
