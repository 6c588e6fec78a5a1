//! Lock files: at most one process holds a lock, and the system releases it when the process ends.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use crate::regular::open_unlinked;

/// A lock that this process holds until this is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// The file, open for writing.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    /// Unlocks explicitly. Closing is not enough: a process that another thread starts inherits the
    /// open file for a moment, and the lock with it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Locks a file, and creates it if necessary. None if another process holds the lock. The holder
/// may remove the file. Nothing is written to it.
///
/// # Errors
/// If the file cannot be opened, is a link, or is not a regular file.
pub fn lock(path: &Path) -> io::Result<Option<Lock>> {
    loop {
        let file = open_unlinked(path, File::options().write(true).create(true))?;
        match file.try_lock() {
            // The last holder may have removed the file after it was opened here. Other processes
            // would then lock a new file of its name.
            Ok(()) if !is_at(&file, path) => {}
            Ok(()) => return Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Whether another process holds the lock of a file.
pub fn is_locked(path: &Path) -> bool {
    let Ok(file) = open_unlinked(path, File::options().read(true)) else { return false };
    // Shared, so that two processes that check at the same time do not see each other as the
    // holder.
    match file.try_lock_shared() {
        Ok(()) => drop(Lock(file)),
        Err(TryLockError::WouldBlock) => return true,
        Err(TryLockError::Error(_)) => {}
    }
    false
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// On other systems an open file keeps its name until it is closed.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    fs::exists(path).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_a_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_locked(&path) && !path.exists());
        let first = lock(&path).unwrap().unwrap();
        assert!(lock(&path).unwrap().is_none() && is_locked(&path));
        drop(first);
        assert!(!is_locked(&path));
        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn an_inherited_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path).unwrap().unwrap();
        // As a process that was just started inherits it.
        let started = first.file().try_clone().unwrap();
        drop(first);
        assert!(!is_locked(&path));
        assert!(lock(&path).unwrap().is_some());
        drop(started);
    }

    #[cfg(unix)]
    #[test]
    fn a_removed_file_is_not_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let old = lock(&path).unwrap().unwrap();
        assert!(is_at(old.file(), &path));
        fs::remove_file(&path).unwrap();
        assert!(!is_at(old.file(), &path));
        let new = lock(&path).unwrap().expect("a new file of the name");
        assert!(is_at(new.file(), &path) && !is_at(old.file(), &path));
    }
}
