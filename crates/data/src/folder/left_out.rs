//! What is in a folder of photos but no photo to train on.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use resnet_formats::Shown;

use crate::{
    output::is_output,
    photo::{Kind, kind_of},
};

/// Why files and folders are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    Hidden,
    NotAPhoto,
    Unsupported,
    NoClass,
    NotAPart,
    Output,
    Repeated,
    Parent,
    DeadLink,
    NotUnicode,
}

impl Why {
    /// What they are, for one and for several; and what to do.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Why::Hidden => ("hidden file or folder", "hidden files and folders", ""),
            Why::NotAPhoto => ("file that is no photo", "files that are no photos", ""),
            Why::Unsupported => (
                "photo in a format that is not read",
                "photos in formats that are not read",
                ": convert them to JPEG or PNG",
            ),
            Why::NoClass => {
                ("photo outside the class folders", "photos outside the class folders", "")
            }
            Why::NotAPart => ("folder next to train", "folders next to train", ""),
            Why::Output => ("folder that resnet wrote", "folders that resnet wrote", ""),
            Why::Repeated => (
                "link to a folder that is in the class already",
                "links to folders that are in the class already",
                "",
            ),
            Why::Parent => (
                "link to a folder that contains the class",
                "links to folders that contain the class",
                "",
            ),
            Why::DeadLink => ("link that leads nowhere", "links that lead nowhere", ""),
            Why::NotUnicode => {
                ("file whose name is not Unicode", "files whose names are not Unicode", "")
            }
        }
    }
}

/// Counts of what is left out, each with the first example.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut(BTreeMap<Why, (usize, String)>);

impl LeftOut {
    pub(super) fn add(&mut self, why: Why, path: &Path) {
        self.0.entry(why).or_insert_with(|| (0, path.shown().to_string())).0 += 1;
    }

    /// Adds the counts of another.
    pub(super) fn absorb(&mut self, other: LeftOut) {
        for (why, (count, example)) in other.0 {
            self.0.entry(why).or_insert((0, example)).0 += count;
        }
    }

    /// A note for each reason.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |(why, (count, example)): (&Why, &(usize, String))| {
            let (one, several, advice) = why.words();
            match count {
                1 => format!("left out a {one}, {example}{advice}"),
                _ => format!("left out {count} {several}, such as {example}{advice}"),
            }
        };
        self.0.iter().map(note).collect()
    }
}

/// Names of files and folders that systems and programs put next to photos.
const CLUTTER: [&str; 8] = [
    "__MACOSX",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN",
    "System Volume Information",
    "@eaDir",
    "lost+found",
];

/// Whether a file or folder is hidden (a leading dot: `.DS_Store`, `._a.jpg`, `.ipynb_checkpoints`), or
/// clutter of the system.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") || CLUTTER.iter().any(|s| s.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a folder was written by this program, or has nothing but such folders, as `runs` has.
pub(super) fn is_output_only(folder: &Path) -> bool {
    // In `runs` is a run or an experiment, or a folder of them.
    has_output(folder, 2) == Some(true)
}

/// Whether there are such folders in these levels; none if something else is there, but files next to them that are no photos.
fn has_output(folder: &Path, levels: usize) -> Option<bool> {
    if is_output(folder) {
        return Some(true);
    }
    let below = levels.checked_sub(1)?;
    let (mut found, mut files) = (false, Vec::new());
    for entry in fs::read_dir(folder).ok()?.flatten() {
        if is_hidden(entry.file_name().as_encoded_bytes()) {
            continue;
        }
        match entry.file_type().ok()?.is_file() {
            true => files.push(entry.path()),
            // Of the rest, only a folder or a link to one can be read as one.
            false => found |= has_output(&entry.path(), below)?,
        }
    }
    // Files are opened only where there is output.
    let is_other = |file: &PathBuf| found && kind_of(file) == Kind::Other;
    files.iter().all(is_other).then_some(found)
}
