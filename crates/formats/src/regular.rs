//! Regular files, and nothing in their place.
//!
//! A folder of a stranger may hold anything under any name: a pipe that never opens, a device that
//! never ends, a link to a file of the user's. What is read must be a regular file; what is written
//! to is not reached through a link.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};

use thiserror::Error;

/// Why a file is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Odd {
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is a symbolic link, and nothing is written through one")]
    Link,
    #[error("it has another name as well (a hard link), whose content would change with it")]
    Shared,
    #[error("it is not a folder of its own: a link, or a file (remove it, or name another folder)")]
    NotAFolder,
    #[error("it is a sparse file: most of it was never written")]
    Sparse,
    #[error("it is longer than {} MiB", .0 >> 20)]
    TooLong(u64),
}

impl Odd {
    pub(crate) fn error<T>(self) -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, self))
    }

    /// What an error says of a file, if it is from here.
    pub(crate) fn of(error: &io::Error) -> Option<Odd> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Opens a regular file to read it. A folder, a pipe or a device is an error, at once.
///
/// # Errors
/// What the system says, or that it is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening is an act already: pipes wait, some devices do things.
    of_regular(&fs::metadata(path)?)?;
    let file = opened(path, File::options().read(true), true)?;
    of_regular(&file.metadata()?)?;
    Ok(file)
}

/// All bytes of a regular file, unless they are more than `most`.
///
/// # Errors
/// As [`open`], and if it is too long, or longer than memory.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_opened(open(path)?, most)
}

pub(crate) fn read_opened(file: File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > most {
        return Odd::TooLong(most).error();
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize)?;
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Odd::TooLong(most).error();
    }
    Ok(bytes)
}

/// The text of a regular file.
///
/// # Errors
/// As [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, most)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Opens a regular file as `options` say, not through a link, whatever other names it has.
///
/// # Errors
/// What the system says, or what is there in its place.
pub(crate) fn open_unlinked(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => return Odd::Link.error(),
        Ok(there) => of_regular(&there)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = opened(path, options, false)?;
    of_regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a pipe or a character device that the user named, to write into it. A pipe waits for its
/// reader, as everywhere. What is behind a descriptor may be a file, which is added to.
#[allow(clippy::disallowed_methods, reason = "the user named it")]
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    if !takes_bytes(&fs::metadata(path)?) {
        return Odd::NotAFile.error();
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

/// Makes a folder, unless it is there and no link.
///
/// # Errors
/// What the system says, or that something else has its name.
pub fn make_own_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Odd::NotAFolder.error(),
        Err(_) => fs::create_dir_all(path),
    }
}

fn of_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Odd::NotAFile.error() }
}

/// Opens without waiting for anybody, whatever has taken the file's place meanwhile.
#[cfg(unix)]
#[allow(clippy::disallowed_methods, reason = "this is the place")]
fn opened(path: &Path, options: &mut OpenOptions, follow: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;
    let links = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | links;
    options.custom_flags(flags.bits() as i32).open(path)
}

#[cfg(not(unix))]
#[allow(clippy::disallowed_methods, reason = "this is the place")]
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

    fn odd<T>(result: io::Result<T>) -> Option<Odd> {
        result.err().as_ref().and_then(Odd::of)
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
            assert_eq!(odd(read(&path(name), 3)), Some(Odd::TooLong(3)));
        }
        for name in ["folder", "link to folder", "fifo", "socket"] {
            assert_eq!(odd(open(&path(name))), Some(Odd::NotAFile), "{name}");
        }
        assert_eq!(odd(open(Path::new("/dev/zero"))), Some(Odd::NotAFile));
        assert_eq!(open(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        // A device's size is 0, that of /proc as well.
        assert!(!read(Path::new("/proc/self/status"), 1 << 20).unwrap().is_empty());
    }

    #[test]
    fn what_is_written_is_not_reached_through_a_link() {
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
            ("link", Odd::Link),
            ("dangling", Odd::Link),
            ("folder", Odd::NotAFile),
            ("fifo", Odd::NotAFile),
        ] {
            assert_eq!(odd(append(name)), Some(expected), "{name}");
        }
        assert!(!path("nowhere").exists());
        // Where one takes the file's place between the look and the opening.
        assert!(opened(&path("link"), File::options().append(true), false).is_err());
        assert!(opened(&path("fifo"), File::options().append(true), false).is_err());

        assert!(make_own_folder(&path("folder")).is_ok() && make_own_folder(&path("a/b")).is_ok());
        for name in ["link to folder", "dangling", "victim"] {
            assert_eq!(odd(make_own_folder(&path(name))), Some(Odd::NotAFolder), "{name}");
        }
    }
}
