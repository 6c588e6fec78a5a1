//! Photos in a folder.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{PhotoError, PhotoFileError};

/// What photos are called. What they are is told from their content.
const SUFFIXES: [&str; 8] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp"];

/// All photos in a folder and its subfolders, by their suffix, in the order of their names. Names
/// that begin with a dot are left out. A folder that several links lead to is looked through once.
///
/// # Errors
/// If a folder cannot be read, lies very deep, or holds itself by a link.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, PhotoFileError> {
    let mut search = Search::default();
    search.walk(folder)?;
    Ok(search.photos)
}

/// Deeper than any folder that was meant.
const MAX_DEPTH: usize = 64;

#[derive(Default)]
struct Search {
    photos: Vec<PathBuf>,
    /// Where it is, by paths without links.
    within: Vec<PathBuf>,
    /// Where it was. Links make many ways to few folders.
    seen: HashSet<PathBuf>,
}

impl Search {
    fn walk(&mut self, folder: &Path) -> Result<(), PhotoFileError> {
        let failed =
            |error| PhotoFileError { path: folder.to_owned(), error: PhotoError::Io(error) };
        let odd = |what| Err(failed(io::Error::other(what)));
        let real = folder.canonicalize().map_err(failed)?;
        if self.within.contains(&real) {
            return odd("it lies within itself, by a link");
        }
        if self.within.len() > MAX_DEPTH {
            return odd("folders lie more than 64 deep");
        }
        if !self.seen.insert(real.clone()) {
            return Ok(());
        }
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries: Vec<PathBuf> =
            entries.map_err(failed)?.iter().map(fs::DirEntry::path).collect();
        entries.retain(|path| path.file_name().is_none_or(|n| n.as_encoded_bytes()[0] != b'.'));
        entries.sort();
        self.within.push(real);
        for path in entries {
            if path.is_dir() {
                self.walk(&path)?;
            } else if path.is_file() && is_photo(&path) {
                self.photos.push(path);
            }
        }
        self.within.pop();
        Ok(())
    }
}

fn is_photo(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    suffix.is_some_and(|suffix| SUFFIXES.iter().any(|s| s.eq_ignore_ascii_case(suffix)))
}
