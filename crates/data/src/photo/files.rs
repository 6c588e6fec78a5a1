//! Photos in a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{PhotoError, PhotoFileError};

/// What photos are called. What they are is told from their content.
const SUFFIXES: [&str; 8] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp"];

/// All photos in a folder and its subfolders, by their suffix, in the order of their names. Names
/// that begin with a dot are left out.
///
/// # Errors
/// If a folder cannot be read, or there are loops of links.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, PhotoFileError> {
    let mut photos = Vec::new();
    walk(folder, 0, &mut photos)?;
    Ok(photos)
}

/// Deeper than any folder that was meant.
const MAX_DEPTH: usize = 64;

fn walk(folder: &Path, depth: usize, photos: &mut Vec<PathBuf>) -> Result<(), PhotoFileError> {
    let failed = |error| PhotoFileError { path: folder.to_owned(), error: PhotoError::Io(error) };
    if depth > MAX_DEPTH {
        return Err(failed(io::Error::other("folders lie more than 64 deep")));
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries: Vec<PathBuf> =
        entries.map_err(failed)?.iter().map(fs::DirEntry::path).collect();
    entries.retain(|path| path.file_name().is_none_or(|n| n.as_encoded_bytes()[0] != b'.'));
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, depth + 1, photos)?;
        } else if path.is_file() && is_photo(&path) {
            photos.push(path);
        }
    }
    Ok(())
}

fn is_photo(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    suffix.is_some_and(|suffix| SUFFIXES.iter().any(|s| s.eq_ignore_ascii_case(suffix)))
}
