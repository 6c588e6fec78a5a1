//! Folders and tables that a test makes. Only names matter, so files are empty.

mod layouts;
#[cfg(unix)]
mod links;
mod tables;

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

/// A folder with files.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[&str]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        files.iter().for_each(|file| folder.write(file, ""));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, or makes a folder if its name ends with a slash.
    fn write(&self, name: &str, content: &str) {
        if name.ends_with('/') {
            return fs::create_dir_all(self.path(name)).unwrap();
        }
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn open(&self) -> PhotoSet {
        PhotoSet::open(self.0.path(), None).unwrap()
    }

    /// The error, with the folder as `ROOT`.
    fn error(&self) -> String {
        self.shown(PhotoSet::open(self.0.path(), None))
    }

    fn table(&self, content: &str) -> Result<PhotoSet, DataError> {
        self.write("labels.csv", content);
        PhotoSet::open(self.0.path(), Some(&self.path("labels.csv")))
    }

    fn table_error(&self, content: &str) -> String {
        self.shown(self.table(content))
    }

    fn shown(&self, set: Result<PhotoSet, DataError>) -> String {
        let error = set.unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error.replace(self.0.path().to_str().unwrap(), "ROOT")
    }
}

/// `class: path path`, for each class with photos.
fn photos(set: &PhotoSet, list: &PhotoList) -> Vec<String> {
    let mut lines: Vec<String> = set.classes.iter().map(|class| format!("{class}:")).collect();
    for (index, &label) in list.labels().iter().enumerate() {
        lines[label as usize] += &format!(" {}", list.name(index).shown());
    }
    lines.retain(|line| !line.ends_with(':'));
    lines
}

use resnet_formats::Shown;
