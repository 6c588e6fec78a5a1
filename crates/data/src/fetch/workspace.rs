//! Where files wait until all are there.

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

/// The working folder of one fetch: `.fetch` in the folder of the data set (so that files are
/// renamed within one file system), locked as long as this lives. It and what is in it are no links:
/// the folder may have come from a stranger.
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
        // A killed fetch may have left something.
        fs::remove_dir_all(&staging).map_err(DataError::io("remove", &staging))?;
        fs::create_dir(&staging).map_err(DataError::io("create", &staging))?;
        Ok(workspace)
    }

    fn work(&self) -> PathBuf {
        self.target.join(".fetch")
    }

    /// Where files wait until all are there. Emptied before and after.
    pub(super) fn staging(&self) -> PathBuf {
        self.work().join("staging")
    }

    /// What has come of the archive. Outlives a fetch that fails.
    pub(super) fn part(&self) -> PathBuf {
        self.work().join("archive.part")
    }

    /// Writes a file to the staging folder if its content is right.
    pub(super) fn stage(&self, file: &BatchFile, content: &[u8]) -> Result<(), Failure> {
        let md5 = digest::<Md5>(content);
        if md5 != file.md5 {
            let expected = file.md5;
            return Err(Failure::Source(format!(
                "its {} has MD5 {md5}, expected {expected}",
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

    /// Fails unless every file has been staged.
    pub(super) fn require(&self, files: &[BatchFile]) -> Result<(), Failure> {
        match files.iter().find(|file| !self.staging().join(file.name).is_file()) {
            Some(file) => Err(Failure::Source(format!("it has no {}", file.name))),
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
    /// Leaves nothing but a part to go on from. Best effort: leftovers do no harm.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.staging());
        let _ = fs::remove_file(self.work().join("lock"));
        if fs::metadata(self.part()).is_ok_and(|part| part.len() == 0) {
            let _ = fs::remove_file(self.part());
        }
        // These two go only if they are empty.
        let _ = fs::remove_dir(self.work());
        let _ = fs::remove_dir(&self.target);
    }
}
