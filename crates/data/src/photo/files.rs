//! Photos in a folder.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use image::ImageFormat;
use resnet_formats::open;

use super::{
    PhotoError, PhotoFileError,
    format::{FIRST_BYTES, Kind, by_suffix, format},
};
use crate::output::is_output;

/// The photos in a folder and its subfolders.
#[derive(Debug, Default)]
pub struct Found {
    /// Files with the suffix or the first bytes of an image, sorted by name. Some are of formats that
    /// cannot be read, or are links that lead nowhere or pipes: to open them says so.
    pub photos: Vec<PathBuf>,
    /// Folders that cannot be searched: unreadable, nested too deep, or linked to a parent. If
    /// there are too many files, the folder itself, and then `photos` is empty.
    pub errors: Vec<PhotoFileError>,
    /// Links out of the folder, with their targets. They are followed.
    pub outside: Vec<(PathBuf, PathBuf)>,
    /// Folders of runs and of pictures that this program wrote. They are not searched.
    pub output: Vec<PathBuf>,
}

/// Finds all photos in a folder and its subfolders. Hidden files (names with a leading dot) are
/// skipped. A folder that several links point to is searched once.
pub fn find(folder: &Path) -> Found {
    search(folder, MAX_ENTRIES)
}

/// Maximum depth of subfolders.
const MAX_DEPTH: usize = 64;
/// Maximum number of files and folders: a link may point to a whole disk.
const MAX_ENTRIES: usize = 1_000_000;

fn search(folder: &Path, most: usize) -> Found {
    let (found, within, seen) = Default::default();
    let mut search = Search { found, within, seen, left: most };
    if search.walk(folder, folder.canonicalize(), false).is_none() {
        let what = format!("it has more than {most} files and folders, including links");
        search.found.photos.clear();
        search.found.errors = vec![cannot_be_read(folder, io::Error::other(what))];
    }
    search.found
}

fn cannot_be_read(path: &Path, error: io::Error) -> PhotoFileError {
    PhotoFileError { path: path.to_owned(), error: PhotoError::Io(error) }
}

struct Search {
    found: Found,
    /// The folders that contain the current one, with links resolved.
    within: Vec<PathBuf>,
    /// The folders already searched, with links resolved.
    seen: HashSet<PathBuf>,
    /// Remaining number of entries.
    left: usize,
}

impl Search {
    /// Searches a folder whose resolved path is `real`. Returns none if there are too many entries.
    fn walk(&mut self, folder: &Path, real: io::Result<PathBuf>, is_link: bool) -> Option<()> {
        let entries = real.and_then(|real| self.enter(folder, real, is_link));
        let (real, entries) = match entries {
            Ok(Some(entered)) => entered,
            Ok(None) => return Some(()),
            Err(error) => {
                self.found.errors.push(cannot_be_read(folder, error));
                return Some(());
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            self.left = self.left.checked_sub(1)?;
            match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
                Ok(entry) => names.push(entry),
                Err(error) => {
                    self.found.errors.push(cannot_be_read(folder, error));
                    break;
                }
            }
        }
        names.retain(|(name, _)| !name.as_encoded_bytes().starts_with(b"."));
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.within.push(real.clone());
        for (name, kind) in names {
            // Only links need a system call: there may be very many files.
            let (path, is_link) = (folder.join(&name), kind.is_symlink());
            if kind.is_dir() || is_link && path.is_dir() {
                if is_output(&path) {
                    self.found.output.push(path);
                    continue;
                }
                let real = if is_link { path.canonicalize() } else { Ok(real.join(&name)) };
                self.walk(&path, real, is_link)?;
                continue;
            }
            // What is called like an image is named, even if it is a pipe or a link that leads nowhere.
            let is_file = kind.is_file() || is_link && path.is_file();
            if (is_file || by_suffix(&path).is_some()) && kind_of(&path) != Kind::Other {
                self.found.photos.push(path);
            }
        }
        self.within.pop();
        Some(())
    }

    /// The entries of a folder, unless it was searched already.
    fn enter(
        &mut self,
        folder: &Path,
        real: PathBuf,
        is_link: bool,
    ) -> io::Result<Option<(PathBuf, fs::ReadDir)>> {
        if self.within.contains(&real) {
            return Err(io::Error::other("it is a link to one of its parent folders"));
        }
        if self.within.len() > MAX_DEPTH {
            return Err(io::Error::other("folders are nested more than 64 deep"));
        }
        if self.seen.contains(&real) {
            return Ok(None);
        }
        let entries = fs::read_dir(folder)?;
        // Only a link can point out of the folder.
        let is_outside = |all: &PathBuf| is_link && !real.starts_with(all);
        if self.within.first().is_some_and(is_outside) {
            self.found.outside.push((folder.to_owned(), real.clone()));
        }
        self.seen.insert(real.clone());
        Ok(Some((real, entries)))
    }
}

/// What a file is: a photo if its suffix is that of a format that is read, and else by its first bytes. Where
/// these say nothing, or cannot be read, the suffix decides.
pub(crate) fn kind_of(path: &Path) -> Kind {
    let named = by_suffix(path);
    if named == Some(Kind::Photo) {
        return Kind::Photo;
    }
    match format_of(path) {
        // Many raw formats are TIFFs of another content.
        Ok(ImageFormat::Tiff) => named.unwrap_or(Kind::Photo),
        Ok(_) => Kind::Photo,
        Err(PhotoError::NotAnImage | PhotoError::Io(_)) => named.unwrap_or(Kind::Other),
        Err(_) => Kind::Unsupported,
    }
}

/// The format of a file by its first bytes.
fn format_of(path: &Path) -> Result<ImageFormat, PhotoError> {
    let file = open(path)?;
    let (len, mut bytes) = (file.metadata()?.len(), Vec::new());
    file.take(FIRST_BYTES).read_to_end(&mut bytes)?;
    format(&bytes, len)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::output::mark_output;

    #[test]
    fn the_content_decides_where_the_suffix_is_of_no_format_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |name: &str, bytes: &[u8]| {
            fs::write(dir.path().join(name), bytes).unwrap();
            kind_of(&dir.path().join(name))
        };
        let (jpeg, tiff) = (b"\xFF\xD8\xFF\xE0", b"II*\0\x08\0\0\0");
        // 4 x 5 pixels in 24 bits.
        let header: [u8; 18] = [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 5, 0, 24, 0];
        let tga = [&header[..], &[7; 60]].concat();
        for (name, bytes, expected) in [
            ("a.heic", &jpeg[..], Kind::Photo),
            ("b.avif", jpeg, Kind::Photo),
            ("c.heic", b"", Kind::Unsupported),
            ("d.dng", tiff, Kind::Unsupported),
            ("e", tiff, Kind::Photo),
            ("f", &tga, Kind::Photo),
            ("g", &tga[..77], Kind::Other),
            ("h.jpg", b"a text", Kind::Photo),
            ("i.txt", b"a text", Kind::Other),
            ("j.bin", b"8BPS", Kind::Unsupported),
        ] {
            assert_eq!(kind(name, bytes), expected, "{name}");
        }
    }

    #[test]
    fn errors_in_a_folder_do_not_hide_other_photos() {
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
        fs::write(path("all/in/c"), b"\xFF\xD8\xFF\xE0").unwrap();
        fs::write(path("all/in/d.heic"), "").unwrap();
        fs::write(path("all/in/e.bin"), b"qoif").unwrap();
        symlink("..", path("all/in/circle")).unwrap();
        symlink("../other", path("all/link")).unwrap();
        symlink("in", path("all/to in")).unwrap();
        symlink("../other/inner/o.png", path("all/o.png")).unwrap();
        symlink("nowhere", path("all/lost.png")).unwrap();
        symlink("nowhere", path("all/lost.txt")).unwrap();
        fs::create_dir(path("all/demo-cam")).unwrap();
        mark_output(&path("all/demo-cam")).unwrap();
        fs::write(path("all/demo-cam/z-cam.png"), "").unwrap();
        let Found { photos, errors, outside, output } = find(&path("all"));
        let names = [
            "in/a.JPG",
            "in/c",
            "in/d.heic",
            "in/e.bin",
            "link/inner/o.png",
            "lost.png",
            "o.png",
            "z.png",
        ];
        assert_eq!(photos, names.map(|name| path("all").join(name)));
        assert_eq!(output, [path("all/demo-cam")]);
        assert_eq!(outside, [(path("all/link"), path("other"))]);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].ends_with("cannot be read: folders are nested more than 64 deep"));
        assert!(
            errors[1]
                .ends_with("in/circle cannot be read: it is a link to one of its parent folders")
        );

        let Found { photos, errors, .. } = search(&path("all"), 10);
        assert!(photos.is_empty() && errors.len() == 1);
        let error = errors[0].to_string();
        assert!(error.ends_with(
            "all cannot be read: it has more than 10 files and folders, including links"
        ));
    }
}
