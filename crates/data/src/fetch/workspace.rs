//! The staging folder of a download.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use md5::Md5;
use resnet_formats::{Lock, lock, make_own_folder, open_own};

use super::{
    event::FetchEvent,
    monitor::{Failure, Monitor},
};
use crate::{DataError, digest::digest, published::PublishedFile};

/// The working folder of one download: `.fetch` in the folder of the data set, so that files are
/// renamed within one file system. It is locked until this is dropped. Neither it nor its content
/// may be links, since the folder may be untrusted.
pub(super) struct Workspace {
    target: PathBuf,
    _lock: Lock,
}

impl Workspace {
    /// Makes one as soon as no other process downloads to the folder. What is missing there must be asked again
    /// after that.
    pub(super) fn new(target: &Path, monitor: &mut Monitor<'_>) -> Result<Self, DataError> {
        let mut is_said = false;
        loop {
            if let Some(workspace) = Workspace::try_new(target)? {
                return Ok(workspace);
            }
            if !std::mem::replace(&mut is_said, true) {
                (monitor.events)(FetchEvent::Waiting);
            }
            monitor.pause()?;
        }
    }

    /// None if another process downloads to the folder.
    pub(super) fn try_new(target: &Path) -> Result<Option<Self>, DataError> {
        let work = target.join(".fetch");
        make_own_folder(&work).map_err(DataError::io("create", &work))?;
        let path = work.join("lock");
        let locked = match lock(&path) {
            // Another process, which is done, has just removed the folder.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            locked => locked.map_err(DataError::io("lock", &path))?,
        };
        let Some(lock) = locked else { return Ok(None) };
        let workspace = Workspace { target: target.to_owned(), _lock: lock };
        let staging = workspace.staging();
        make_own_folder(&staging).map_err(DataError::io("create", &staging))?;
        // A killed download may have left files.
        fs::remove_dir_all(&staging).map_err(DataError::io("remove", &staging))?;
        fs::create_dir(&staging).map_err(DataError::io("create", &staging))?;
        Ok(Some(workspace))
    }

    fn work(&self) -> PathBuf {
        self.target.join(".fetch")
    }

    /// The staging folder. Emptied before and after a download.
    pub(super) fn staging(&self) -> PathBuf {
        self.work().join("staging")
    }

    /// A partial archive or file. It is kept after a failed download.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.work().join(format!("{name}.part"))
    }

    /// All partial files.
    fn parts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.work()).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "part")).collect()
    }

    /// Writes a file to the staging folder after verifying its MD5.
    pub(super) fn stage(&self, file: &PublishedFile, content: &[u8]) -> Result<(), Failure> {
        let md5 = digest::<Md5>(content);
        if md5 != file.md5 {
            let expected = file.md5;
            return Err(Failure::Source(format!(
                "{}: expected MD5 {expected}, got {md5}",
                file.name
            )));
        }
        Ok(self.write(file.name, content)?)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), DataError> {
        let path = self.staging().join(name);
        let mut output = File::create_new(&path).map_err(DataError::io("create", &path))?;
        output
            .write_all(content)
            .and_then(|()| output.sync_all())
            .map_err(DataError::io("write", &path))
    }

    /// Whether a file is staged.
    pub(super) fn has(&self, file: &PublishedFile) -> bool {
        self.staging().join(file.name).is_file()
    }

    /// Fails unless every file is staged.
    pub(super) fn require(&self, files: &[PublishedFile]) -> Result<(), Failure> {
        match files.iter().find(|file| !self.has(file)) {
            Some(file) => Err(Failure::Source(format!("{} is missing", file.name))),
            None => Ok(()),
        }
    }

    /// Moves a complete partial file into place, and returns its path.
    pub(super) fn install_part(self, name: &str) -> Result<PathBuf, DataError> {
        let (part, path) = (self.part(name), self.target.join(name));
        open_own(&part, File::options().write(true))
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&part, &path))
            .map_err(DataError::io("write", &path))?;
        Ok(path)
    }

    /// Moves the staged files into place, and writes a file of class names next to them if it has a name.
    pub(super) fn install(
        self,
        files: &[PublishedFile],
        classes: Option<(&str, &[&str])>,
    ) -> Result<(), DataError> {
        if let Some((name, classes)) = classes {
            self.write(name, (classes.join("\n") + "\n\n").as_bytes())?;
        }
        let names = classes.map(|(name, _)| name);
        for name in files.iter().map(|file| file.name).chain(names) {
            let path = self.target.join(name);
            fs::rename(self.staging().join(name), &path).map_err(DataError::io("write", &path))?;
        }
        let remove = |part: PathBuf| match fs::remove_file(&part) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(DataError::io("remove", &part)(error))
            }
            _ => Ok(()),
        };
        self.parts().into_iter().try_for_each(remove)
    }
}

impl Drop for Workspace {
    /// Removes everything except a partial archive. Best effort: leftovers do no harm.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.staging());
        let _ = fs::remove_file(self.work().join("lock"));
        for part in self.parts() {
            if fs::metadata(&part).is_ok_and(|part| part.len() == 0) {
                let _ = fs::remove_file(part);
            }
        }
        // These two are removed only if empty.
        let _ = fs::remove_dir(self.work());
        let _ = fs::remove_dir(&self.target);
    }
}
