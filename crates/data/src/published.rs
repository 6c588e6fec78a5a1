//! Files with a published MD5.

use std::{
    fs::Metadata,
    io::{ErrorKind, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;
use md5::Md5;
use serde::Serialize;

use crate::{
    DataError,
    digest::{digest, file_digest},
};

/// The most bytes of a file whose length is not published.
const MOST: u64 = 256 << 20;

/// The state of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// As published.
    Good,
    /// It does not exist.
    Missing,
    /// Its MD5 is this one instead of the published one.
    Damaged(String),
    /// It has this many bytes, too few or too many.
    Length(u64),
    /// It is a file of the Python version that cannot be read, for this reason.
    Unreadable(String),
}

/// A file as published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishedFile {
    pub name: &'static str,
    /// Its length, if it is known.
    pub bytes: Option<u64>,
    /// MD5 in hexadecimal.
    pub md5: &'static str,
}

impl PublishedFile {
    /// The most bytes that it may have.
    pub(crate) fn most(&self) -> u64 {
        self.bytes.unwrap_or(MOST)
    }

    /// The bytes of several files, if they are known.
    pub(crate) fn total(files: &[PublishedFile]) -> Option<u64> {
        files.iter().map(|file| file.bytes).sum()
    }

    /// The bytes of the file at `path`, if its MD5 is the published one, which detects even a single flipped
    /// bit. `name` is that of the data set.
    pub(crate) fn read(&self, name: &'static str, path: &Path) -> Result<Vec<u8>, DataError> {
        let mut input = open(name, path)?;
        // The length is checked before anything is read or reserved.
        let got = input.metadata().map_err(DataError::io("read", path))?.len();
        if got > self.most() || self.bytes.is_some_and(|bytes| bytes != got) {
            let (file, expected) = (path.to_owned(), self.most());
            return Err(DataError::WrongSize { name, file, expected, got });
        }
        let mut content = Vec::with_capacity(got as usize);
        Read::take(&mut input, got)
            .read_to_end(&mut content)
            .map_err(DataError::io("read", path))?;
        self.checked(name, path, content)
    }

    /// The same of a file that is compressed with gzip: length and MD5 are those of its content.
    pub(crate) fn read_gz(&self, name: &'static str, path: &Path) -> Result<Vec<u8>, DataError> {
        let input = std::io::BufReader::new(open(name, path)?);
        let content = self.decompressed(input).map_err(|reason| DataError::Unreadable {
            name,
            file: path.to_owned(),
            reason,
        })?;
        self.checked(name, path, content)
    }

    /// Decompresses a file, up to its published length and one byte more.
    pub(crate) fn decompressed(&self, input: impl std::io::BufRead) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        MultiGzDecoder::new(input)
            .take(self.most() + 1)
            .read_to_end(&mut content)
            .map_err(|error| format!("cannot be decompressed: {error}"))?;
        Ok(content)
    }

    fn checked(
        &self,
        name: &'static str,
        path: &Path,
        content: Vec<u8>,
    ) -> Result<Vec<u8>, DataError> {
        let got = digest::<Md5>(&content);
        if got == self.md5 {
            Ok(content)
        } else {
            Err(DataError::wrong_digest(name, path, self.md5, got))
        }
    }

    /// The state of the file at `path`. `tick` gets the number of bytes read, and its error stops the
    /// check.
    pub(crate) fn state(
        &self,
        path: &Path,
        tick: impl FnMut(u64) -> Result<(), DataError>,
    ) -> Result<FileState, DataError> {
        let Some(there) = path.metadata().ok().filter(Metadata::is_file) else {
            return Ok(FileState::Missing);
        };
        // Do not read a file of the wrong length: it may be huge.
        if there.len() > self.most() || self.bytes.is_some_and(|bytes| bytes != there.len()) {
            return Ok(FileState::Length(there.len()));
        }
        let md5 = file_digest::<Md5>(path, there.len(), tick)?;
        Ok(if md5 == self.md5 { FileState::Good } else { FileState::Damaged(md5) })
    }
}

fn open(name: &'static str, path: &Path) -> Result<std::fs::File, DataError> {
    resnet_formats::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => DataError::Missing { name, file: path.to_owned() },
        _ => DataError::io("read", path)(error),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn good_missing_and_damaged_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one");
        let content = [7; 3073];
        let md5 = digest::<Md5>(&content).leak();
        let file = PublishedFile { name: "one", bytes: Some(3073), md5 };
        let state = || file.state(&path, |_| Ok(())).unwrap();
        assert_eq!(state(), FileState::Missing);
        fs::write(&path, content).unwrap();
        assert_eq!(state(), FileState::Good);
        let zeros = [0; 3073];
        fs::write(&path, zeros).unwrap();
        assert_eq!(state(), FileState::Damaged(digest::<Md5>(&zeros)));
        fs::write(&path, "").unwrap();
        assert_eq!(state(), FileState::Length(0));
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(state(), FileState::Length(1 << 40));
        let unknown = PublishedFile { bytes: None, ..file };
        assert_eq!(unknown.state(&path, |_| Ok(())).unwrap(), FileState::Length(1 << 40));
        assert!(matches!(unknown.read("set", &path), Err(DataError::WrongSize { .. })));
        fs::write(&path, content).unwrap();
        assert_eq!(unknown.state(&path, |_| Ok(())).unwrap(), FileState::Good);
        assert_eq!(unknown.read("set", &path).unwrap(), content);
    }
}
