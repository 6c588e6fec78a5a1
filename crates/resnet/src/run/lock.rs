//! Locks a run folder, in which only one process may train.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use resnet_formats::{Lock, is_locked, lock};

use super::RunError;

/// The process that trains holds a lock on this file. The system releases it when the process ends.
const LOCK: &str = ".lock";

/// Whether a process is training in a run folder.
pub fn is_training(folder: &Path) -> bool {
    is_locked(&folder.join(LOCK))
}

/// A folder that is locked until this is dropped.
#[derive(Debug)]
pub(super) struct LockedFolder {
    path: PathBuf,
    /// The folders that were created for it, the innermost first.
    made: Vec<PathBuf>,
    lock: Lock,
}

impl LockedFolder {
    /// Locks a folder, and creates it if necessary.
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

    /// Removes what was created, as far as possible. A lock file is empty: a file of this name with
    /// contents is the user's.
    pub(super) fn undo(&self) {
        if self.lock.file().metadata().is_ok_and(|lock| lock.len() == 0) {
            let _ = fs::remove_file(self.path.join(LOCK));
        }
        let _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}
