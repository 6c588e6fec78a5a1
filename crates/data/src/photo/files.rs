//! Photos in a folder.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{PhotoError, PhotoFileError};

/// What photos are called. What they are is told from their content.
const SUFFIXES: [&str; 8] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp"];

/// What is in a folder and its subfolders.
#[derive(Debug, Default)]
pub struct Found {
    /// The photos, by their suffix, in the order of their names.
    pub photos: Vec<PathBuf>,
    /// Folders that are not looked through: they cannot be read, lie very deep, or hold themselves
    /// by a link. Of too many files, the folder itself; it then has no photos.
    pub wrong: Vec<PhotoFileError>,
    /// Links to folders that lie elsewhere, and where. They are followed.
    pub elsewhere: Vec<(PathBuf, PathBuf)>,
}

/// All photos in a folder and its subfolders. Names that begin with a dot are left out. A folder
/// that several links lead to is looked through once.
pub fn find(folder: &Path) -> Found {
    search(folder, MAX_ENTRIES)
}

/// Deeper than any folder that was meant.
const MAX_DEPTH: usize = 64;
/// Files and folders that are looked at, more than were meant: a link may lead to a whole disk.
const MAX_ENTRIES: usize = 1_000_000;

fn search(folder: &Path, most: usize) -> Found {
    let (found, within, seen) = Default::default();
    let mut search = Search { found, within, seen, left: most };
    if search.walk(folder, folder.canonicalize(), false).is_none() {
        let what = format!("it holds more than {most} files and folders, links followed");
        search.found.photos.clear();
        search.found.wrong = vec![cannot_be_read(folder, io::Error::other(what))];
    }
    search.found
}

fn cannot_be_read(path: &Path, error: io::Error) -> PhotoFileError {
    PhotoFileError { path: path.to_owned(), error: PhotoError::Io(error) }
}

struct Search {
    found: Found,
    /// Where it is, by paths without links.
    within: Vec<PathBuf>,
    /// Where it was. Links make many ways to few folders.
    seen: HashSet<PathBuf>,
    /// Entries that may still be looked at.
    left: usize,
}

impl Search {
    /// Looks through a folder, of which the path without links is `real`; nothing where there is
    /// too much to look at.
    fn walk(&mut self, folder: &Path, real: io::Result<PathBuf>, is_link: bool) -> Option<()> {
        let entries = real.and_then(|real| self.enter(folder, real, is_link));
        let (real, entries) = match entries {
            Ok(Some(entered)) => entered,
            Ok(None) => return Some(()),
            Err(error) => {
                self.found.wrong.push(cannot_be_read(folder, error));
                return Some(());
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            self.left = self.left.checked_sub(1)?;
            match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
                Ok(entry) => names.push(entry),
                Err(error) => {
                    self.found.wrong.push(cannot_be_read(folder, error));
                    break;
                }
            }
        }
        names.retain(|(name, _)| !name.as_encoded_bytes().starts_with(b"."));
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.within.push(real.clone());
        for (name, kind) in names {
            // The system is asked about links only: there may be very many files.
            let (path, is_link) = (folder.join(&name), kind.is_symlink());
            if kind.is_dir() || is_link && path.is_dir() {
                let real = if is_link { path.canonicalize() } else { Ok(real.join(&name)) };
                self.walk(&path, real, is_link)?;
            } else if is_photo(&path) && (kind.is_file() || is_link && path.is_file()) {
                self.found.photos.push(path);
            }
        }
        self.within.pop();
        Some(())
    }

    /// What is in a folder, unless it was looked through already.
    fn enter(
        &mut self,
        folder: &Path,
        real: PathBuf,
        is_link: bool,
    ) -> io::Result<Option<(PathBuf, fs::ReadDir)>> {
        if self.within.contains(&real) {
            return Err(io::Error::other("it lies within itself, by a link"));
        }
        if self.within.len() > MAX_DEPTH {
            return Err(io::Error::other("folders lie more than 64 deep"));
        }
        if self.seen.contains(&real) {
            return Ok(None);
        }
        let entries = fs::read_dir(folder)?;
        // What is in a folder without a link lies where that does.
        let is_elsewhere = |all: &PathBuf| is_link && !real.starts_with(all);
        if self.within.first().is_some_and(is_elsewhere) {
            self.found.elsewhere.push((folder.to_owned(), real.clone()));
        }
        self.seen.insert(real.clone());
        Ok(Some((real, entries)))
    }
}

fn is_photo(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    suffix.is_some_and(|suffix| SUFFIXES.iter().any(|s| s.eq_ignore_ascii_case(suffix)))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_wrong_in_a_folder_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let path = |name: &str| root.join(name);
        let deep = format!("all/deep/{}", ["a"; 70].join("/"));
        for folder in ["all/in", "other/inner", &deep] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        for file in ["all/z.png", "all/in/a.JPG", "all/in/b.txt", "all/.c.png", "other/inner/o.png"]
        {
            fs::write(path(file), "").unwrap();
        }
        symlink("..", path("all/in/circle")).unwrap();
        symlink("../other", path("all/link")).unwrap();
        symlink("in", path("all/to in")).unwrap();
        symlink("../other/inner/o.png", path("all/o.png")).unwrap();
        let Found { photos, wrong, elsewhere } = find(&path("all"));
        let names = ["in/a.JPG", "link/inner/o.png", "o.png", "z.png"];
        assert_eq!(photos, names.map(|name| path("all").join(name)));
        assert_eq!(elsewhere, [(path("all/link"), path("other"))]);
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].ends_with("cannot be read: folders lie more than 64 deep"));
        assert!(wrong[1].ends_with("in/circle cannot be read: it lies within itself, by a link"));

        let Found { photos, wrong, .. } = search(&path("all"), 10);
        assert!(photos.is_empty() && wrong.len() == 1);
        let said = wrong[0].to_string();
        assert!(said.ends_with(
            "all cannot be read: it holds more than 10 files and folders, links followed"
        ));
    }
}
