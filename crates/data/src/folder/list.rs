//! A long list of photos in little memory.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
};

/// Photos and their labels. A photo takes the bytes of its name and 12 more, so 1.3 million fit into
/// 60 MB.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PhotoList {
    root: PathBuf,
    /// The names of all photos, without separators.
    names: Vec<u8>,
    /// Where each name ends.
    ends: Vec<usize>,
    labels: Vec<u32>,
}

impl PhotoList {
    /// An empty list of photos below a folder.
    pub fn new(root: &Path) -> PhotoList {
        PhotoList { root: root.to_owned(), ..PhotoList::default() }
    }

    /// Adds a photo: its path relative to the root, with slashes, and its label.
    pub fn push(&mut self, name: &[u8], label: u32) {
        self.names.extend_from_slice(name);
        self.ends.push(self.names.len());
        self.labels.push(label);
    }

    /// Number of photos.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no photos.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of each photo.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    pub(super) fn labels_mut(&mut self) -> &mut [u32] {
        &mut self.labels
    }

    /// The folder that names are relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a photo relative to the root.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn name(&self, index: usize) -> &Path {
        path_of(self.bytes(index))
    }

    /// The path of a photo.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn path(&self, index: usize) -> PathBuf {
        self.root.join(self.name(index))
    }

    /// The same as bytes, with slashes: what [`PhotoList::push`] takes.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn bytes(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start..self.ends[index]]
    }

    /// A list of some of the photos, by their indices.
    ///
    /// # Panics
    /// If an index is out of range.
    #[must_use]
    pub fn select(&self, indices: impl IntoIterator<Item = usize>) -> PhotoList {
        let mut list = PhotoList::new(&self.root);
        indices.into_iter().for_each(|index| list.push(self.bytes(index), self.labels[index]));
        list
    }

    /// Photos of each of `classes` classes.
    ///
    /// # Panics
    /// If a label is not below `classes`.
    pub fn counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        self.labels.iter().for_each(|&label| counts[label as usize] += 1);
        counts
    }

    /// Divides the list in order: photos for which `moves` is true are moved to the list that is
    /// returned.
    pub(super) fn divide(&mut self, moves: impl Fn(usize) -> bool) -> PhotoList {
        let [mut kept, mut moved] = [(); 2].map(|()| PhotoList::new(&self.root));
        for (index, &label) in self.labels.iter().enumerate() {
            let list = if moves(index) { &mut moved } else { &mut kept };
            list.push(self.bytes(index), label);
        }
        kept.shrink();
        moved.shrink();
        *self = kept;
        moved
    }

    /// Gives back the memory of growing.
    pub(super) fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.labels.shrink_to_fit();
    }
}

impl fmt::Debug for PhotoList {
    /// Not the names: there may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, photos) = (&self.root, self.len());
        f.debug_struct("PhotoList").field("root", root).field("photos", &photos).finish()
    }
}

/// Whether a name can be in a list: on Unix any, elsewhere one that is Unicode.
pub(super) fn can_list(name: &OsStr) -> bool {
    cfg!(unix) || name.to_str().is_some()
}

#[cfg(unix)]
pub(super) fn path_of(name: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(OsStr::from_bytes(name))
}

#[cfg(not(unix))]
pub(super) fn path_of(name: &[u8]) -> &Path {
    Path::new(std::str::from_utf8(name).expect("other names are not listed"))
}
