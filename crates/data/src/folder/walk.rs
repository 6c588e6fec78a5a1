//! Reads folders: their folders, and the photos of a class.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsString,
    fs,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
};

use super::{
    left_out::{LeftOut, Why, is_hidden, is_output_only},
    list::{PhotoList, can_list, path_of},
};
use crate::{
    DataError, PhotoSetError,
    output::is_output,
    photo::{Kind, kind_of},
};

/// Maximum number of files and folders: a link may point to a whole disk.
const MAX_ENTRIES: usize = 50_000_000;

/// Searches the folders of one data set.
pub(super) struct Walk<'a> {
    root: &'a Path,
    pub(super) left_out: LeftOut,
    /// Files and folders so far.
    done: usize,
    progress: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
}

/// A file or folder.
enum Entry {
    Folder { is_link: bool },
    File,
}

/// What a folder has, without what is hidden.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Names of its folders, sorted.
    pub(super) folders: Vec<OsString>,
    /// Number of its photos.
    pub(super) photos: usize,
    /// The first of its photos, and its first table of labels, by name.
    pub(super) photo: Option<OsString>,
    pub(super) table: Option<OsString>,
}

/// The photos of one folder of a class: names, one after another, and where each is.
struct Photos {
    /// Of the folder, relative to the root.
    folder: Vec<u8>,
    names: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        root: &'a Path,
        progress: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Walk<'a> {
        Walk { root, left_out: LeftOut::default(), done: 0, progress }
    }

    /// The folders and photos in a folder, not those below, and not what this program wrote.
    pub(super) fn content(&mut self, folder: &Path) -> Result<Content, DataError> {
        let mut content = Content::default();
        let first = |slot: &mut Option<OsString>, name: OsString| {
            if slot.as_ref().is_none_or(|first| name < *first) {
                *slot = Some(name);
            }
        };
        self.each(folder, |walk, path, name, entry| {
            match entry {
                Entry::Folder { .. } if is_output_only(&path) => {
                    walk.leave_out(Why::Output, &path);
                }
                Entry::Folder { .. } => content.folders.push(name),
                Entry::File if kind_of(&path) == Kind::Photo => {
                    content.photos += 1;
                    first(&mut content.photo, name);
                }
                Entry::File if path.extension().is_some_and(|s| s == "csv" || s == "tsv") => {
                    first(&mut content.table, name);
                }
                Entry::File => {}
            }
            Ok(())
        })?;
        content.folders.sort();
        Ok(content)
    }

    /// Adds the photos of a class, in the folder of this name below the root and its subfolders, in
    /// torchvision's order: folders sorted by their paths, and photos in each by their names. Links to folders
    /// are followed once all other folders are read, so that the order of a directory decides nothing.
    pub(super) fn class(
        &mut self,
        folder: &[u8],
        label: u32,
        list: &mut PhotoList,
    ) -> Result<(), DataError> {
        let real = |path: &Path| fs::canonicalize(path).map_err(DataError::io("read", path));
        let (root, top) = (real(self.root)?, real(&self.root.join(path_of(folder)))?);
        let mut seen = HashSet::from([top.clone()]);
        let mut open = vec![(folder.to_vec(), top.clone())];
        let mut links = BTreeSet::<Vec<u8>>::new();
        let mut found = Vec::new();
        loop {
            let Some((folder, there)) = open.pop() else {
                let Some(link) = links.pop_first() else { break };
                let path = self.root.join(path_of(&link));
                let there = real(&path)?;
                if seen.contains(&there) {
                    self.leave_out(Why::Repeated, &path);
                } else if top.starts_with(&there) || root.starts_with(&there) {
                    self.leave_out(Why::Parent, &path);
                } else {
                    seen.insert(there.clone());
                    open.push((link, there));
                }
                continue;
            };
            let mut photos = Photos { folder, names: Vec::new(), ranges: Vec::new() };
            self.each(&self.root.join(path_of(&photos.folder)), |walk, path, name, entry| {
                if !can_list(&name) {
                    walk.leave_out(Why::NotUnicode, &path);
                    return Ok(());
                }
                match entry {
                    Entry::Folder { .. } if is_output(&path) => {
                        walk.leave_out(Why::Output, &path);
                    }
                    Entry::Folder { is_link } => {
                        let folder = joined(&photos.folder, name.as_encoded_bytes());
                        let there = there.join(&name);
                        if is_link {
                            links.insert(folder);
                        } else if seen.insert(there.clone()) {
                            open.push((folder, there));
                        } else {
                            walk.leave_out(Why::Repeated, &path);
                        }
                    }
                    Entry::File => match kind_of(&path) {
                        Kind::Photo => photos.push(name.as_encoded_bytes()),
                        Kind::Unsupported => walk.leave_out(Why::Unsupported, &path),
                        Kind::Other => walk.leave_out(Why::NotAPhoto, &path),
                    },
                }
                Ok(())
            })?;
            if !photos.ranges.is_empty() {
                photos.sort();
                found.push(photos);
            }
        }
        found.sort_by(|a, b| a.folder.cmp(&b.folder));
        let mut path = Vec::new();
        for photos in found {
            for range in photos.ranges {
                path.clear();
                path.extend_from_slice(&photos.folder);
                path.push(b'/');
                path.extend_from_slice(&photos.names[range]);
                list.push(&path, label);
            }
        }
        Ok(())
    }

    /// Counts what is left out, by its path relative to the root.
    pub(super) fn leave_out(&mut self, why: Why, path: &Path) {
        self.left_out.add(why, path.strip_prefix(self.root).unwrap_or(path));
    }

    /// Visits the files and folders in a folder that are not hidden, in any order. Only links need a
    /// system call of their own.
    fn each(
        &mut self,
        folder: &Path,
        mut visit: impl FnMut(&mut Self, PathBuf, OsString, Entry) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.tick(folder)?;
        for entry in fs::read_dir(folder).map_err(DataError::io("read", folder))? {
            let entry = entry.map_err(DataError::io("read", folder))?;
            let (path, name) = (entry.path(), entry.file_name());
            self.done += 1;
            if self.done.is_multiple_of(1 << 12) {
                self.tick(folder)?;
            }
            if is_hidden(name.as_encoded_bytes()) {
                self.leave_out(Why::Hidden, &path);
                continue;
            }
            let kind = entry.file_type().map_err(DataError::io("read", &path))?;
            let is_link = kind.is_symlink();
            // Of a link, what it leads to.
            let kind =
                if is_link { fs::metadata(&path).map(|there| there.file_type()) } else { Ok(kind) };
            match kind {
                Err(_) => self.leave_out(Why::DeadLink, &path),
                Ok(kind) if kind.is_dir() => visit(self, path, name, Entry::Folder { is_link })?,
                Ok(kind) if kind.is_file() => visit(self, path, name, Entry::File)?,
                Ok(_) => self.leave_out(Why::NotAPhoto, &path),
            }
        }
        Ok(())
    }

    fn tick(&mut self, folder: &Path) -> Result<(), DataError> {
        if (self.progress)(self.done).is_break() {
            return Err(PhotoSetError::Stopped.into());
        }
        if self.done > MAX_ENTRIES {
            let (folder, most) = (folder.to_owned(), MAX_ENTRIES);
            return Err(PhotoSetError::TooMany { folder, most }.into());
        }
        Ok(())
    }
}

impl Photos {
    fn push(&mut self, name: &[u8]) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.ranges.push(start..self.names.len());
    }

    fn sort(&mut self) {
        let names = &self.names;
        self.ranges.sort_unstable_by(|a, b| names[a.clone()].cmp(&names[b.clone()]));
    }
}

/// `folder/name`, or the name in the root.
pub(super) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
