//! Files that grow, and are nobody else's.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use crate::{
    atomic_write,
    regular::{Odd, names, open_unlinked, read},
};

/// Far beyond any log or archive of images.
const MOST_COPIED: u64 = 1 << 30;

/// Opens a file to change it, as `options` say: a regular file, and not through a link. One that has
/// another name as well (a hard link, as snapshots of a folder have) becomes a copy of its own
/// first: what has the other name stays as it is.
///
/// # Errors
/// What the system says, or what is there in its place.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open_unlinked(path, options)?;
    if names(&file.metadata()?) <= 1 {
        return Ok(file);
    }
    drop(file);
    let old = read(path, MOST_COPIED)?;
    atomic_write(path, |new| new.write_all(&old))?;
    let file = open_unlinked(path, options)?;
    if names(&file.metadata()?) > 1 { Odd::Shared.error() } else { Ok(file) }
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
        // What is no file is no file here either.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("other", &link).unwrap();
        let error = open_own(&link, File::options().append(true)).unwrap_err();
        assert_eq!(Odd::of(&error), Some(Odd::Link));
    }
}
