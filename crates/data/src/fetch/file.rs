//! Downloads one file that is used as it is.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use super::{
    event::{FetchEvent, Stage},
    http::{self, Remote},
    monitor::{Failure, Monitor},
    workspace::Workspace,
};
use crate::{DataError, digest::Checksum};

/// A file at an address.
#[derive(Clone, Copy, Debug)]
pub struct RemoteFile<'a> {
    /// Its name in a folder.
    pub name: &'a str,
    /// Its address.
    pub url: &'a str,
    /// The first digits of its SHA-256, in hexadecimal.
    pub sha256: &'a str,
}

/// Downloads a file to a folder, unless it is there, and returns its path. A file of that name with
/// another SHA-256 is removed first. If another process is downloading to the folder, this one waits. `events`
/// receives the progress. Setting `stop` ends the download soon; the next call resumes it.
///
/// # Errors
/// [`DataError::FileUnavailable`] if the download fails; others if the folder cannot be written, or the
/// download was stopped.
pub fn fetch_file(
    file: RemoteFile<'_>,
    folder: &Path,
    events: &mut dyn FnMut(FetchEvent),
    stop: &AtomicBool,
) -> Result<PathBuf, DataError> {
    let (path, monitor) = (folder.join(file.name), &mut Monitor { events, stop });
    let checksum = Checksum::Sha256(file.sha256);
    let mut removed = None;
    if is_good(&path, checksum, monitor, &mut removed)? {
        return Ok(path);
    }
    let workspace = Workspace::new(folder, monitor)?;
    // Another process may have downloaded it meanwhile.
    if is_good(&path, checksum, monitor, &mut removed)? {
        return Ok(path);
    }
    let part = workspace.part(file.name);
    http::download(&Remote { url: file.url, bytes: None, checksum }, &part, monitor).map_err(
        |failure| match failure {
            Failure::Local(error) => error,
            Failure::Source(reason) => DataError::FileUnavailable {
                url: file.url.to_owned(),
                reason: reason + &removed.unwrap_or_default(),
                folder: folder.to_owned(),
            },
        },
    )?;
    workspace.install_part(file.name)
}

/// Whether the file is there. One with other content is removed, and `removed` says so.
fn is_good(
    path: &Path,
    checksum: Checksum<'_>,
    monitor: &mut Monitor<'_>,
    removed: &mut Option<String>,
) -> Result<bool, DataError> {
    if !path.is_file() {
        return Ok(false);
    }
    let bytes = fs::metadata(path).map_err(DataError::io("read", path))?.len();
    let tick = |done| monitor.progress(Stage::Check, done, Some(bytes));
    let Some(difference) = checksum.difference(path, bytes, tick)? else { return Ok(true) };
    fs::remove_file(path).map_err(DataError::io("remove", path))?;
    *removed = Some(format!(" (the file that was there is removed: {difference})"));
    Ok(false)
}
