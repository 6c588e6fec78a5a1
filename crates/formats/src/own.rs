//! Opens files that grow, such as logs, for this process alone.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use crate::{
    atomic_write,
    regular::{RefusedFile, names, open_unlinked, read},
};

/// Larger than any log or archive of images.
const MOST_COPIED: u64 = 1 << 30;

/// Opens a regular file with `options` to change it, not through a symbolic link. A file with
/// another name (a hard link, as in snapshots of a folder) is copied first, so that the file of the
/// other name stays unchanged.
///
/// # Errors
/// If the file cannot be opened, is a link, or is not a regular file.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open_unlinked(path, options)?;
    if names(&file.metadata()?) <= 1 {
        return Ok(file);
    }
    drop(file);
    let old = read(path, MOST_COPIED)?;
    atomic_write(path, |new| new.write_all(&old))?;
    let file = open_unlinked(path, options)?;
    if names(&file.metadata()?) > 1 { RefusedFile::Shared.error() } else { Ok(file) }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn a_file_with_another_name_becomes_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let (log, other) = (dir.path().join("log"), dir.path().join("other"));
        let append = |text: &str| {
            let file = open_own(&log, File::options().append(true).create(true));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        };
        append("one");
        fs::hard_link(&log, &other).unwrap();
        append(" two");
        append(" three");
        assert_eq!(fs::read_to_string(&log).unwrap(), "one two three");
        assert_eq!(fs::read_to_string(&other).unwrap(), "one");
        // A link is refused.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("other", &link).unwrap();
        let error = open_own(&link, File::options().append(true)).unwrap_err();
        assert_eq!(RefusedFile::of(&error), Some(RefusedFile::Link));
    }
}
