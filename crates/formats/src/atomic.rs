//! Writes files atomically.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use crate::destination::{Destination, Target};

const PREFIX: &str = ".unfinished-";
const BUFFER: usize = 1 << 20;

/// Writes a file atomically: to a temporary file in the same folder, which is synced and renamed.
/// If anything fails, an old file stays unchanged and the temporary file is removed (a killed
/// process leaves it: see [`is_temporary`]). The new file gets the permissions of the regular file
/// that it replaces.
///
/// The [`Destination`] decides what happens to links and pipes. A path is [`Destination::Replace`].
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use std::io::Write;
/// let path = dir.path().join("greeting.txt");
/// resnet_formats::atomic_write(&path, |w| w.write_all(b"hello")).unwrap();
/// assert_eq!(std::fs::read(&path).unwrap(), b"hello");
/// ```
///
/// # Errors
/// If the file cannot be written (a full disk), or `write` fails.
pub fn atomic_write<'p>(
    destination: impl Into<Destination<'p>>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    match destination.into().target()? {
        Target::File(path) => replace(&path, write),
        Target::Stream(stream) => {
            let mut writer = BufWriter::with_capacity(BUFFER, stream);
            write(&mut writer)?;
            writer.flush()
        }
    }
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // As for any new file: the umask applies, no link is followed, errors are the system's.
    let new = |path: &Path| File::create_new(path);
    let temporary = tempfile::Builder::new().prefix(PREFIX).make_in(folder, new)?;
    keep_permissions(path, temporary.as_file())?;
    let mut writer = BufWriter::with_capacity(BUFFER, temporary.as_file());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    // The rename is on disk only when the folder is synced.
    if cfg!(unix) { sync(folder) } else { Ok(()) }
}

/// Copies the permissions of the regular file that will be replaced, if there is one.
#[cfg(unix)]
fn keep_permissions(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(old) = fs::symlink_metadata(path) else { return Ok(()) };
    // Without the setuid and setgid bits.
    let mode = old.permissions().mode() & 0o777;
    if !old.is_file() || mode == file.metadata()?.permissions().mode() & 0o777 {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// On other systems a read-only file cannot be replaced.
#[cfg(not(unix))]
fn keep_permissions(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a folder in which a file was just created")]
fn sync(folder: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder without read permission, or a file system that cannot sync folders: the file is
        // complete anyway.
        Err(e) if [PermissionDenied, InvalidInput, Unsupported].contains(&e.kind()) => Ok(()),
        done => done,
    }
}

/// Whether a file is a temporary file of [`atomic_write`], left by a killed process.
pub fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        atomic_write(&path, |w| w.write_all(b"old")).unwrap();
        let failed = atomic_write(&path, |w| {
            w.write_all(b"new")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_are_the_systems_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/such/folder/file");
        let error = atomic_write(&path, |_| Ok(())).unwrap_err();
        let system = std::fs::File::create(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), system.raw_os_error());
        assert_eq!(error.to_string(), system.to_string());
    }

    #[test]
    fn temporary_files_are_detected() {
        let dir = tempfile::tempdir().unwrap();
        atomic_write(&dir.path().join("file"), |_| {
            let entry = std::fs::read_dir(dir.path())?.next().unwrap()?;
            assert!(is_temporary(&entry.path()));
            Ok(())
        })
        .unwrap();
        assert!(!is_temporary(&dir.path().join("file")));
    }

    #[cfg(unix)]
    #[test]
    fn new_files_have_the_usual_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
        atomic_write(&ours, |_| Ok(())).unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for mode in [0o600, 0o640, 0o444] {
            fs::write(&path, b"old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            atomic_write(&path, |w| w.write_all(b"new")).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(fs::read(&path).unwrap(), b"new");
            fs::remove_file(&path).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_need_not_be_readable() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("drop");
        fs::create_dir(&folder).unwrap();
        let mode = |mode| {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o311);
        let written = atomic_write(&folder.join("file"), |w| w.write_all(b"new"));
        mode(0o755);
        written.unwrap();
        assert_eq!(fs::read(folder.join("file")).unwrap(), b"new");
    }
}
