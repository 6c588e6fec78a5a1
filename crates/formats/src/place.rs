//! Where a file goes.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::regular::{Odd, open_stream};

/// Where a file goes. A path is a place of one's own.
#[derive(Clone, Copy, Debug)]
pub enum Place<'p> {
    /// A name in a folder that may be a stranger's, such as a run's. Whatever has the name is
    /// replaced: a link is not followed, a pipe not written into.
    Own(&'p Path),
    /// What the user named. The file that a link leads to is replaced, and the link stays; a pipe,
    /// a character device and an open descriptor (`/dev/stdout`, `>(...)`) are written into.
    Named(&'p Path),
}

impl<'p, P: AsRef<Path> + ?Sized> From<&'p P> for Place<'p> {
    fn from(path: &'p P) -> Self {
        Place::Own(path.as_ref())
    }
}

/// What a place turns out to be.
pub(crate) enum Spot {
    /// A file that is to be replaced, or made.
    File(PathBuf),
    /// What takes bytes as they come.
    Stream(Box<dyn Write>),
}

impl<'p> Place<'p> {
    /// Its path.
    pub fn path(self) -> &'p Path {
        match self {
            Place::Own(path) | Place::Named(path) => path,
        }
    }

    pub(crate) fn spot(self) -> io::Result<Spot> {
        match self {
            Place::Own(path) => Ok(Spot::File(path.to_owned())),
            Place::Named(path) => named(path),
        }
    }
}

/// More links in a row than any system follows.
const MOST_LINKS: usize = 64;

fn named(path: &Path) -> io::Result<Spot> {
    // Circles of links, and what may not be looked at, are the system's to tell.
    or_absent(fs::metadata(path))?;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        // What a descriptor's own link says is no path.
        if is_descriptor(&path) {
            return descriptor(&path);
        }
        match or_absent(fs::symlink_metadata(&path))? {
            Some(there) if there.is_symlink() => {
                let target = fs::read_link(&path)?;
                path = path.parent().unwrap_or(Path::new("")).join(target);
            }
            Some(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Some(there) if !there.is_file() => return stream(&path),
            _ => return Ok(Spot::File(path)),
        }
    }
    Odd::Link.error()
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

/// What goes to our own streams goes there in order, be they files as well.
fn descriptor(path: &Path) -> io::Result<Spot> {
    let ours = ["/dev/fd", "/proc/self/fd"].iter().any(|fd| path.parent() == Some(Path::new(fd)));
    match path.file_name().and_then(|name| name.to_str()) {
        Some("1") if ours => Ok(Spot::Stream(Box::new(io::stdout()))),
        Some("2") if ours => Ok(Spot::Stream(Box::new(io::stderr()))),
        _ => stream(path),
    }
}

fn stream(path: &Path) -> io::Result<Spot> {
    Ok(Spot::Stream(Box::new(open_stream(path)?)))
}

#[cfg(all(test, unix))]
mod tests {
    use std::{os::unix::fs::symlink, process::Command, thread};

    use super::*;
    use crate::atomic_write;

    fn write(place: Place<'_>) -> io::Result<()> {
        atomic_write(place, |file| file.write_all(b"new"))
    }

    #[test]
    fn links_that_the_user_named_are_followed() {
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
            write(Place::Named(&path(name))).unwrap();
            assert!(path(name).is_symlink(), "{name}");
            assert_eq!(fs::read(path(name)).unwrap(), b"new", "{name}");
        }
        // Replaced whole.
        assert_eq!(fs::read(path("other name")).unwrap(), b"old");
        assert!(write(Place::Named(&path("circle"))).is_err() && path("circle").is_symlink());
        let folder = write(Place::Named(&path("folder"))).unwrap_err();
        assert_eq!(folder.kind(), io::ErrorKind::IsADirectory);
        assert_eq!(fs::read_dir(path("folder")).unwrap().count(), 2);
    }

    #[test]
    fn links_in_a_place_of_ones_own_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("victim"), "mine").unwrap();
        symlink("victim", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        for name in ["link", "dangling"] {
            write(Place::Own(&path(name))).unwrap();
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
        write(Place::Named(&pipe)).unwrap();
        assert_eq!(reader.join().unwrap(), b"new");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        // By its descriptor, as `>(...)` has it, and through a link.
        let link = dir.path().join("link");
        symlink("/dev/null", &link).unwrap();
        let socket = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        write(Place::Named(Path::new("/dev/null"))).unwrap();
        write(Place::Named(&link)).unwrap();
        assert!(link.is_symlink());
        assert!(write(Place::Named(Path::new("/dev/full"))).is_err() || cfg!(target_os = "macos"));
        assert!(write(Place::Named(&socket)).is_err());
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn descriptors_are_written_into() {
        use std::os::fd::AsRawFd;
        let (mut reader, writer) = io::pipe().unwrap();
        write(Place::Named(Path::new(&format!("/dev/fd/{}", writer.as_raw_fd())))).unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "new");
    }
}
