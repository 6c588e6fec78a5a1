//! Where a file is written.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::regular::{RefusedFile, open_stream};

/// Where a file is written, and what happens to a link or a pipe there. A path alone is
/// [`Destination::Replace`].
#[derive(Clone, Copy, Debug)]
pub enum Destination<'p> {
    /// Replaces whatever has this name: a link is not followed, a pipe is not written into. For
    /// files of our own in a folder that may be untrusted, such as a run's.
    Replace(&'p Path),
    /// Follows links: the file that a link leads to is replaced, and the link stays. A pipe, a
    /// character device and an open descriptor (`/dev/stdout`, `>(...)`) are written into. For
    /// paths that the user named.
    Follow(&'p Path),
}

impl<'p, P: AsRef<Path> + ?Sized> From<&'p P> for Destination<'p> {
    fn from(path: &'p P) -> Self {
        Destination::Replace(path.as_ref())
    }
}

/// What a destination resolves to.
pub(crate) enum Target {
    /// A file to replace or create.
    File(PathBuf),
    /// A stream to write into.
    Stream(Box<dyn Write>),
}

impl<'p> Destination<'p> {
    /// The path.
    pub fn path(self) -> &'p Path {
        match self {
            Destination::Replace(path) | Destination::Follow(path) => path,
        }
    }

    /// Whether it is the program's own stdout.
    pub fn is_stdout(self) -> bool {
        let Destination::Follow(path) = self else { return false };
        followed(path).is_ok_and(|path| own_descriptor(&path) == Some("1"))
    }

    pub(crate) fn target(self) -> io::Result<Target> {
        match self {
            Destination::Replace(path) => Ok(Target::File(path.to_owned())),
            Destination::Follow(path) => named(path),
        }
    }
}

/// The most links in a row; systems follow fewer.
const MOST_LINKS: usize = 64;

fn named(path: &Path) -> io::Result<Target> {
    let path = followed(path)?;
    if is_descriptor(&path) {
        return descriptor(&path);
    }
    match or_absent(fs::symlink_metadata(&path))? {
        Some(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Some(there) if !there.is_file() => stream(&path),
        _ => Ok(Target::File(path)),
    }
}

/// Where the links of a path end: at anything else, an open descriptor, or a name that is free.
fn followed(path: &Path) -> io::Result<PathBuf> {
    // The system reports cycles of links, and paths without permission.
    or_absent(fs::metadata(path))?;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // The link of a descriptor is not a path.
        if is_descriptor(&path) {
            return Ok(path);
        }
        match or_absent(fs::symlink_metadata(&path))? {
            Some(there) if there.is_symlink() => {
                let target = fs::read_link(&path)?;
                path = path.parent().unwrap_or(Path::new("")).join(target);
            }
            _ => return Ok(path),
        }
    }
    RefusedFile::Link.error()
}

fn or_absent<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Whether a path names an open descriptor: `/dev/fd/63`, `/proc/self/fd/1`.
fn is_descriptor(path: &Path) -> bool {
    let is_of_system = path.starts_with("/dev") || path.starts_with("/proc");
    is_of_system && path.parent().is_some_and(|folder| folder.ends_with("fd"))
}

/// Our own stdout and stderr keep the order of what else is written to them, files included.
fn descriptor(path: &Path) -> io::Result<Target> {
    match own_descriptor(path) {
        Some("1") => Ok(Target::Stream(Box::new(io::stdout()))),
        Some("2") => Ok(Target::Stream(Box::new(io::stderr()))),
        _ => stream(path),
    }
}

/// The number of one of our own open descriptors.
fn own_descriptor(path: &Path) -> Option<&str> {
    let ours = ["/dev/fd", "/proc/self/fd"].iter().any(|fd| path.parent() == Some(Path::new(fd)));
    path.file_name().filter(|_| ours).and_then(|name| name.to_str())
}

fn stream(path: &Path) -> io::Result<Target> {
    Ok(Target::Stream(Box::new(open_stream(path)?)))
}

#[cfg(all(test, unix))]
mod tests {
    use std::{os::unix::fs::symlink, process::Command, thread};

    use super::*;
    use crate::atomic_write;

    fn write(destination: Destination<'_>) -> io::Result<()> {
        atomic_write(destination, |file| file.write_all(b"new"))
    }

    #[test]
    fn links_are_followed_if_the_user_named_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("folder/file"), "old").unwrap();
        fs::hard_link(path("folder/file"), path("other name")).unwrap();
        symlink("folder/file", path("link")).unwrap();
        symlink(path("link"), path("link to link")).unwrap();
        symlink("folder/absent", path("dangling")).unwrap();
        symlink("circle", path("circle")).unwrap();
        for name in ["link", "link to link", "dangling"] {
            write(Destination::Follow(&path(name))).unwrap();
            assert!(path(name).is_symlink(), "{name}");
            assert_eq!(fs::read(path(name)).unwrap(), b"new", "{name}");
        }
        // Replaced, not changed.
        assert_eq!(fs::read(path("other name")).unwrap(), b"old");
        assert!(
            write(Destination::Follow(&path("circle"))).is_err() && path("circle").is_symlink()
        );
        let folder = write(Destination::Follow(&path("folder"))).unwrap_err();
        assert_eq!(folder.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(fs::read_dir(path("folder")).unwrap().count(), 2);
    }

    #[test]
    fn links_are_replaced_unless_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("victim"), "mine").unwrap();
        symlink("victim", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        for name in ["link", "dangling"] {
            write(Destination::Replace(&path(name))).unwrap();
            assert!(!path(name).is_symlink(), "{name}");
        }
        assert_eq!(fs::read(path("victim")).unwrap(), b"mine");
        assert!(!path("nowhere").exists());
    }

    #[test]
    fn pipes_and_devices_are_written_into() {
        use std::os::unix::fs::FileTypeExt;
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(Destination::Follow(&pipe)).unwrap();
        assert_eq!(reader.join().unwrap(), b"new");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        // By its descriptor, as `>(...)` has it, and through a link.
        let link = dir.path().join("link");
        symlink("/dev/null", &link).unwrap();
        let socket = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        write(Destination::Follow(Path::new("/dev/null"))).unwrap();
        write(Destination::Follow(&link)).unwrap();
        assert!(link.is_symlink());
        assert!(
            write(Destination::Follow(Path::new("/dev/full"))).is_err()
                || cfg!(target_os = "macos")
        );
        assert!(write(Destination::Follow(&socket)).is_err());
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn descriptors_are_written_into() {
        use std::os::fd::AsRawFd;
        let (mut reader, writer) = io::pipe().unwrap();
        write(Destination::Follow(Path::new(&format!("/dev/fd/{}", writer.as_raw_fd())))).unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "new");
        for (path, is_stdout) in [
            ("/dev/stdout", true),
            ("/dev/fd/1", true),
            ("/proc/self/fd/1", true),
            ("/dev/stderr", false),
            ("/dev/null", false),
            ("1", false),
        ] {
            assert_eq!(Destination::Follow(Path::new(path)).is_stdout(), is_stdout, "{path}");
        }
    }
}
