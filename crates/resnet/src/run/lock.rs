//! Locks a run folder, in which only one process may train.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use resnet_formats::{Lock, create_numbered, is_locked, lock};

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
        let made = missing(path);
        if path.is_symlink() && !path.exists() {
            let error = io::Error::other("it is a link that leads nowhere");
            return Err(RunError::io("create", path)(error));
        }
        retried(|| fs::create_dir_all(path)).map_err(RunError::io("create", path))?;
        LockedFolder::of(path.to_owned(), made)
    }

    /// Creates and locks a folder of this name, or of the first free one with `-2`, `-3`, ... behind
    /// it.
    pub(super) fn numbered(path: &Path) -> Result<Self, RunError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let mut made = missing(parent);
        let create = |path: &Path| {
            retried(|| {
                if !parent.as_os_str().is_empty() {
                    fs::create_dir_all(parent)?;
                }
                fs::create_dir(path)
            })
        };
        let (path, ()) = create_numbered(path, "", create).map_err(RunError::io("create", path))?;
        made.insert(0, path.clone());
        LockedFolder::of(path, made)
    }

    fn of(path: PathBuf, made: Vec<PathBuf>) -> Result<Self, RunError> {
        let file = path.join(LOCK);
        match lock(&file).map_err(RunError::io("write", &file))? {
            Some(lock) => Ok(LockedFolder { path, made, lock }),
            None => Err(RunError::Taken(path)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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

/// The folders of a path that do not exist, the innermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    path.ancestors().take_while(missing).map(Path::to_owned).collect()
}

/// Creates folders. Another process may remove a common parent in the middle of it, which it had
/// created for a run of its own.
fn retried(create: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..100 {
        match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    create()
}
