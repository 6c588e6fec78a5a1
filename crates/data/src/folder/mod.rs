//! Folders and tables of photos as data sets.
//!
//! A data set is one of:
//!
//! - a folder with a folder of photos for each class (torchvision's `ImageFolder`);
//! - a folder with such folders `train` and `val` (`valid`, `validation`) or `test`, as ImageNet has them;
//! - a table of paths and labels (CSV or TSV).
//!
//! Only names are read here: whether a photo can be decoded shows when it is used.

use std::{
    mem,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

mod labels;
mod layout;
mod left_out;
mod list;
mod names;
mod split;
#[cfg(test)]
mod tests;
mod walk;

pub use self::list::PhotoList;
use self::{
    layout::{Classes, layout},
    names::{Names, first},
    walk::Walk,
};
use crate::{DataError, PhotoSetError};

/// Photos of several classes, on disk.
#[derive(Clone, Debug)]
pub struct PhotoSet {
    /// Its folder.
    pub root: PathBuf,
    /// Class names, in label order: sorted by their bytes, as torchvision's `ImageFolder` sorts them
    /// (`10` comes before `2`). Whole numbers in a table are sorted by value.
    pub classes: Vec<String>,
    /// Photos to train on.
    pub train: PhotoList,
    /// Photos to choose the best weights with.
    pub validation: Option<PhotoList>,
    /// Photos to test on.
    pub test: Option<PhotoList>,
    /// What a user should know: files that were left out, classes without photos.
    pub notes: Vec<String>,
}

impl PhotoSet {
    /// Lists the photos in a folder, or of a table whose paths are relative to the folder or to the
    /// table's own.
    ///
    /// Classes are the folders' names; photos of a class may be in folders of any depth. Links are
    /// followed, each folder once for a class. Files that are no photos, and hidden ones, are left out and
    /// [noted](PhotoSet::notes).
    ///
    /// # Errors
    /// If a folder cannot be read, there are no classes or only one, a class has no photos, the validation
    /// or test part has a class that the training part has not; if the table has no such
    /// columns, or photos of it are missing or have two labels.
    pub fn open(root: &Path, labels: Option<&Path>) -> Result<PhotoSet, DataError> {
        let set = PhotoSet::list(root, labels, &mut |_| ControlFlow::Continue(()))?;
        set.check_trainable()?;
        Ok(set)
    }

    /// The same without the demand of two classes. `progress` gets the number of files and
    /// folders found so far, and can stop the search.
    ///
    /// # Errors
    /// As [`PhotoSet::open`], and [`PhotoSetError::Stopped`].
    pub fn list(
        root: &Path,
        labels: Option<&Path>,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<PhotoSet, DataError> {
        let metadata = root.metadata().map_err(DataError::io("read", root))?;
        if !metadata.is_dir() {
            return Err(PhotoSetError::NotAFolder(root.to_owned()).into());
        }
        match labels {
            Some(table) => labels::read(root, table, progress),
            None => of_folder(root, progress),
        }
    }

    /// Whether there is something to learn.
    ///
    /// # Errors
    /// [`PhotoSetError::OneClass`].
    pub fn check_trainable(&self) -> Result<(), DataError> {
        let [class] = &self.classes[..] else { return Ok(()) };
        let (root, class) = (self.root.clone(), class.clone());
        let within = self.folders_of_only_class(&class);
        Err(PhotoSetError::OneClass { root, class, within }.into())
    }

    /// The folder of the only class, if its photos are in several folders: they may be the classes.
    fn folders_of_only_class(&self, class: &str) -> Option<PathBuf> {
        let first = self.train.name(0).iter().position(|part| part == class)?;
        let folder: PathBuf = self.train.name(0).iter().take(first + 1).collect();
        let below = |photo: usize| {
            let rest = self.train.name(photo).strip_prefix(&folder).ok()?;
            rest.parent()?.iter().next().map(ToOwned::to_owned)
        };
        let one = below(0);
        let several = (0..self.train.len()).any(|photo| below(photo) != one);
        several.then(|| self.root.join(folder))
    }

    /// Renumbers the classes as `whose` model or run has them: by name.
    ///
    /// # Errors
    /// [`PhotoSetError::UnknownClasses`]; nothing has changed then.
    pub fn match_classes(&mut self, classes: &[String], whose: &str) -> Result<(), DataError> {
        let names = Names::new(classes);
        let unknown: Vec<&str> = self
            .classes
            .iter()
            .map(String::as_str)
            .filter(|class| names.label(class).is_none())
            .collect();
        if !unknown.is_empty() {
            let (root, count) = (self.root.clone(), unknown.len());
            let (classes, whose) = (first(&unknown), whose.to_owned());
            return Err(PhotoSetError::UnknownClasses { root, classes, count, whose }.into());
        }
        let labels: Vec<u32> = self.classes.iter().filter_map(|class| names.label(class)).collect();
        for list in self.lists_mut() {
            list.labels_mut().iter_mut().for_each(|label| *label = labels[*label as usize]);
        }
        self.classes = classes.to_vec();
        Ok(())
    }

    fn lists_mut(&mut self) -> impl Iterator<Item = &mut PhotoList> {
        [Some(&mut self.train), self.validation.as_mut(), self.test.as_mut()].into_iter().flatten()
    }
}

/// The data set in a folder.
fn of_folder(
    root: &Path,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<PhotoSet, DataError> {
    let mut walk = Walk::new(root, progress);
    let layout = layout(root, &mut walk)?;
    let train = train(root, &layout.train, &mut walk)?;
    let classes = layout.train.classes;
    let names = Names::new(&classes);
    let mut notes = layout.notes;
    let mut part = |part: Option<Classes>, may_be_foreign: bool| {
        let Some(part) = part else { return Ok(None) };
        let (list, foreign) = matched(root, &part, &names, &mut walk)?;
        let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
        if !(foreign.is_empty() || may_be_foreign && list.is_empty()) {
            return Err(DataError::from(names.only_in(&part.folder, &foreign)));
        }
        if list.is_empty() {
            notes.push(format!("{} has no photos of the classes: it is left out", part.folder));
            return Ok(None);
        }
        notes.extend(names::missing(&part.folder, &classes, &list));
        Ok(Some(list))
    };
    let validation = part(layout.validation, false)?;
    // The photos of a contest are in a folder of some name.
    let test = part(layout.test, true)?;
    notes.extend(names::similar(&classes));
    notes.extend(walk.left_out.notes());
    Ok(PhotoSet { root: root.to_owned(), classes, train, validation, test, notes })
}

/// The photos to train on. Every class must have some.
fn train(root: &Path, part: &Classes, walk: &mut Walk<'_>) -> Result<PhotoList, DataError> {
    let mut list = PhotoList::new(root);
    let mut empty: Vec<&str> = Vec::new();
    let mut what = None;
    for (class, label) in part.classes.iter().zip(0..) {
        let (before, mut left_out) = (list.len(), mem::take(&mut walk.left_out));
        walk.class(&part.path(class), label, &mut list)?;
        if list.len() == before {
            what = what.or_else(|| walk.left_out.notes().pop());
            empty.push(class);
        }
        left_out.absorb(mem::take(&mut walk.left_out));
        walk.left_out = left_out;
    }
    if !empty.is_empty() {
        let (classes, count, left_out) = (first(&empty), empty.len(), what);
        return Err(PhotoSetError::EmptyClasses { classes, count, left_out }.into());
    }
    list.shrink();
    Ok(list)
}

/// The photos of a validation or test part, and its classes with photos that training has not.
fn matched(
    root: &Path,
    part: &Classes,
    names: &Names<'_>,
    walk: &mut Walk<'_>,
) -> Result<(PhotoList, Vec<String>), DataError> {
    let (mut list, mut foreign) = (PhotoList::new(root), Vec::new());
    for class in &part.classes {
        match names.label(class) {
            Some(label) => walk.class(&part.path(class), label, &mut list)?,
            None => {
                let mut photos = PhotoList::new(root);
                walk.class(&part.path(class), 0, &mut photos)?;
                if !photos.is_empty() {
                    foreign.push(class.clone());
                }
            }
        }
    }
    list.shrink();
    Ok((list, foreign))
}
