//! Opens regular files only.
//!
//! An untrusted folder may have anything under any name: a pipe that never opens, a device that
//! never ends, a link to one of the user's files. So only regular files are read, and no file is
//! written through a link.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};

use thiserror::Error;

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum RefusedFile {
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is a symbolic link, and files are not written through links")]
    Link,
    #[error("it has another name too (a hard link), and writing would change both")]
    Shared,
    #[error("it is a link or a file, not a folder (remove it, or give another folder)")]
    NotAFolder,
    #[error("it is a sparse file: most of it was never written")]
    Sparse,
    #[error("it is longer than {} MiB", .0 >> 20)]
    TooLong(u64),
}

impl RefusedFile {
    pub(crate) fn error<T>(self) -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, self))
    }

    /// The reason in an error, if it is one of these.
    pub(crate) fn of(error: &io::Error) -> Option<RefusedFile> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Opens a regular file for reading. A folder, a pipe or a device is an error, without waiting.
///
/// # Errors
/// If the file cannot be opened, or is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening has effects: pipes wait, some devices act.
    of_regular(&fs::metadata(path)?)?;
    let file = opened(path, File::options().read(true), true)?;
    of_regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads all bytes of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and if the file is longer, or does not fit into memory.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_opened(open(path)?, most)
}

pub(crate) fn read_opened(file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > most {
        return RefusedFile::TooLong(most).error();
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize)?;
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return RefusedFile::TooLong(most).error();
    }
    Ok(bytes)
}

/// Reads the text of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`read`], and if the text is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, most)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Opens a regular file with `options`, not through a symbolic link. Hard links are allowed.
///
/// # Errors
/// If the file cannot be opened, is a link, or is not a regular file.
pub(crate) fn open_unlinked(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => return RefusedFile::Link.error(),
        Ok(there) => of_regular(&there)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = opened(path, options, false)?;
    of_regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a pipe or a character device that the user named, for writing. A pipe waits for its
/// reader. A descriptor may be a file, which is appended to.
#[allow(clippy::disallowed_methods, reason = "the user named it")]
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    if !takes_bytes(&fs::metadata(path)?) {
        return RefusedFile::NotAFile.error();
    }
    File::options().append(true).open(path)
}

#[cfg(unix)]
fn takes_bytes(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    kind.is_fifo() || kind.is_char_device() || kind.is_file()
}

#[cfg(not(unix))]
fn takes_bytes(metadata: &Metadata) -> bool {
    !metadata.is_dir()
}

/// Creates a folder if it does not exist.
///
/// # Errors
/// If it cannot be created, or a link or a file has its name.
pub fn make_own_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => RefusedFile::NotAFolder.error(),
        Err(_) => fs::create_dir_all(path),
    }
}

fn of_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { RefusedFile::NotAFile.error() }
}

/// Opens without waiting, whatever has replaced the file meanwhile.
#[cfg(unix)]
#[allow(clippy::disallowed_methods, reason = "the one wrapper around it")]
fn opened(path: &Path, options: &mut OpenOptions, follow: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;
    let links = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | links;
    options.custom_flags(flags.bits() as i32).open(path)
}

#[cfg(not(unix))]
#[allow(clippy::disallowed_methods, reason = "the one wrapper around it")]
fn opened(path: &Path, options: &mut OpenOptions, _: bool) -> io::Result<File> {
    options.open(path)
}

#[cfg(unix)]
pub(crate) fn names(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
pub(crate) fn names(_: &Metadata) -> u64 {
    1
}

#[cfg(all(test, unix))]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    fn refusal<T>(result: io::Result<T>) -> Option<RefusedFile> {
        result.err().as_ref().and_then(RefusedFile::of)
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "text").unwrap();
        symlink("file", path("link")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        symlink("folder", path("link to folder")).unwrap();
        assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read_text(&path(name), 4).unwrap(), "text");
            assert_eq!(refusal(read(&path(name), 3)), Some(RefusedFile::TooLong(3)));
        }
        for name in ["folder", "link to folder", "fifo", "socket"] {
            assert_eq!(refusal(open(&path(name))), Some(RefusedFile::NotAFile), "{name}");
        }
        assert_eq!(refusal(open(Path::new("/dev/zero"))), Some(RefusedFile::NotAFile));
        assert_eq!(open(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        // Files in /proc have size 0, as devices do.
        assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
    }

    #[test]
    fn files_are_not_written_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let append =
            |name: &str| open_unlinked(&path(name), File::options().append(true).create(true));
        assert!(append("new").is_ok() && append("new").is_ok());
        fs::write(path("victim"), "mine").unwrap();
        symlink("victim", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        symlink("folder", path("link to folder")).unwrap();
        assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        for (name, expected) in [
            ("link", RefusedFile::Link),
            ("dangling", RefusedFile::Link),
            ("folder", RefusedFile::NotAFile),
            ("fifo", RefusedFile::NotAFile),
        ] {
            assert_eq!(refusal(append(name)), Some(expected), "{name}");
        }
        assert!(!path("nowhere").exists());
        // If one replaces the file between the check and the opening.
        assert!(opened(&path("link"), File::options().append(true), false).is_err());
        assert!(opened(&path("fifo"), File::options().append(true), false).is_err());

        assert!(make_own_folder(&path("folder")).is_ok() && make_own_folder(&path("a/b")).is_ok());
        for name in ["link to folder", "dangling", "victim"] {
            assert_eq!(
                refusal(make_own_folder(&path(name))),
                Some(RefusedFile::NotAFolder),
                "{name}"
            );
        }
    }
}
