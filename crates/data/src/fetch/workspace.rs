//! The staging folder of a download.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use md5::Md5;
use resnet_formats::{Lock, lock, make_own_folder};

use super::monitor::Failure;
use crate::{
    DataError,
    cifar10::{self, BatchFile},
    digest::digest,
};

/// The working folder of one download: `.fetch` in the folder of the data set, so that files are
/// renamed within one file system. It is locked until this is dropped. Neither it nor its content
/// may be links, since the folder may be untrusted.
pub(super) struct Workspace {
    target: PathBuf,
    _lock: Lock,
}

impl Workspace {
    pub(super) fn new(target: &Path) -> Result<Self, DataError> {
        let work = target.join(".fetch");
        make_own_folder(&work).map_err(DataError::io("create", &work))?;
        let path = work.join("lock");
        let lock = lock(&path).map_err(DataError::io("lock", &path))?;
        let lock = lock.ok_or_else(|| DataError::Busy { folder: target.to_owned() })?;
        let workspace = Workspace { target: target.to_owned(), _lock: lock };
        let staging = workspace.staging();
        make_own_folder(&staging).map_err(DataError::io("create", &staging))?;
        // A killed download may have left files.
        fs::remove_dir_all(&staging).map_err(DataError::io("remove", &staging))?;
        fs::create_dir(&staging).map_err(DataError::io("create", &staging))?;
        Ok(workspace)
    }

    fn work(&self) -> PathBuf {
        self.target.join(".fetch")
    }

    /// The staging folder. Emptied before and after a download.
    pub(super) fn staging(&self) -> PathBuf {
        self.work().join("staging")
    }

    /// The partial archive. It is kept after a failed download.
    pub(super) fn part(&self) -> PathBuf {
        self.work().join("archive.part")
    }

    /// Writes a file to the staging folder after verifying its MD5.
    pub(super) fn stage(&self, file: &BatchFile, content: &[u8]) -> Result<(), Failure> {
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

    /// Fails unless every file is staged.
    pub(super) fn require(&self, files: &[BatchFile]) -> Result<(), Failure> {
        match files.iter().find(|file| !self.staging().join(file.name).is_file()) {
            Some(file) => Err(Failure::Source(format!("{} is missing", file.name))),
            None => Ok(()),
        }
    }

    /// Moves the staged files into place.
    pub(super) fn install(self, files: &[BatchFile]) -> Result<(), DataError> {
        let names = "batches.meta.txt";
        self.write(names, (cifar10::CLASSES.join("\n") + "\n\n").as_bytes())?;
        for name in files.iter().map(|file| file.name).chain([names]) {
            let path = self.target.join(name);
            fs::rename(self.staging().join(name), &path).map_err(DataError::io("write", &path))?;
        }
        match fs::remove_file(self.part()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(DataError::io("remove", &self.part())(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Workspace {
    /// Removes everything except a partial archive. Best effort: leftovers do no harm.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.staging());
        let _ = fs::remove_file(self.work().join("lock"));
        if fs::metadata(self.part()).is_ok_and(|part| part.len() == 0) {
            let _ = fs::remove_file(self.part());
        }
        // These two are removed only if empty.
        let _ = fs::remove_dir(self.work());
        let _ = fs::remove_dir(&self.target);
    }
}
