//! Folders and tables of photos as data sets.
//!
//! A data set is one of:
//!
//! - a folder with a folder of photos for each class (torchvision's `ImageFolder`);
//! - a folder with such folders `train` and `val` (`valid`, `validation`) or `test`, as ImageNet has them;
//! - a table of paths and labels (CSV or TSV).
//!
//! Only names are read here: whether a photo can be decoded shows when it is used.

use std::{ops::ControlFlow, path::Path};

mod labels;
mod layout;
mod left_out;
mod list;
mod names;
mod search;
mod set;
mod split;
#[cfg(test)]
mod tests;
mod walk;

pub use self::{list::PhotoList, set::PhotoSet};
use crate::{DataError, PhotoSetError};

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
            None => search::of_folder(root, progress),
        }
    }
}
