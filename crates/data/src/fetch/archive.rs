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
use crate::{DataError, published::PublishedFile};

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

/// Unpacks the files in a folder of the official archive to the staging folder.
pub(super) fn unpack(
    archive: &Path,
    folder: &str,
    files: &[PublishedFile],
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let total = PublishedFile::total(files);
    let mut done = 0;
    for_each_file(archive, |path, _, input| {
        let wanted = |file: &&PublishedFile| path == Path::new(folder).join(file.name);
        if let Some(file) = files.iter().find(wanted) {
            monitor.progress(Stage::Unpack, done, total)?;
            let content = content(input, file.most())?;
            workspace.stage(file, &content)?;
            done += content.len() as u64;
        }
        Ok(())
    })?;
    workspace.require(files)
}

/// Decompresses a file to the staging folder.
pub(super) fn decompress(
    part: &Path,
    file: &PublishedFile,
    workspace: &Workspace,
) -> Result<(), Failure> {
    let input = resnet_formats::open(part).map_err(DataError::io("read", part))?;
    let content = file.decompressed(BufReader::new(input)).map_err(Failure::Source)?;
    workspace.stage(file, &content)
}
