//! What a folder or a table has.

use std::path::PathBuf;

use super::list::PhotoList;

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
