//! Reads files from gzipped tar archives. Names in an archive only select files: nothing is written
//! to a path from an archive.

use std::{
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::bufread::GzDecoder;

use super::{
    event::Stage,
    monitor::{Failure, Monitor},
    workspace::Workspace,
};
use crate::{
    DataError,
    cifar10::{self, BatchFile},
};

/// Calls `visit` with path, length and content of every regular file in an archive.
pub(super) fn for_each_file(
    archive: &Path,
    mut visit: impl FnMut(&Path, u64, &mut dyn Read) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let file = resnet_formats::open(archive).map_err(DataError::io("read", archive))?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in tar.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        if entry.header().entry_type().is_file() {
            let path = entry.path().map_err(unreadable)?.into_owned();
            visit(&path, entry.size(), &mut entry)?;
        }
    }
    Ok(())
}

/// The content of a file in an archive, at most `limit` bytes.
pub(super) fn content(file: &mut dyn Read, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Source(format!("cannot unpack the archive: {error}"))
}

/// Unpacks the files of the official archive to the staging folder.
pub(super) fn unpack(
    archive: &Path,
    files: &[BatchFile],
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let total = files.iter().map(BatchFile::bytes).sum();
    let mut done = 0;
    for_each_file(archive, |path, _, input| {
        let wanted = |file: &&BatchFile| path == Path::new(cifar10::FOLDER).join(file.name);
        if let Some(file) = files.iter().find(wanted) {
            monitor.progress(Stage::Unpack, done, Some(total))?;
            workspace.stage(file, &content(input, file.bytes())?)?;
            done += file.bytes();
        }
        Ok(())
    })?;
    workspace.require(files)
}
