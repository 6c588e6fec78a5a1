//! A set of photos.

use std::path::PathBuf;

use super::{
    list::PhotoList,
    names::{Names, first},
};
use crate::{DataError, PhotoSetError, digest::digest};

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

    /// The number of its photos, and the MD5 of their names, parts and classes: two sets with the same ones are
    /// the same, if their photos are.
    pub fn identity(&self) -> (usize, String) {
        let mut text = Vec::new();
        for class in &self.classes {
            text.extend_from_slice(class.as_bytes());
            text.push(0);
        }
        let mut count = 0;
        for list in [Some(&self.train), self.validation.as_ref(), self.test.as_ref()] {
            text.push(b'/');
            let Some(list) = list else { continue };
            count += list.len();
            for photo in 0..list.len() {
                text.extend_from_slice(list.bytes(photo));
                text.push(0);
                text.extend_from_slice(&list.labels()[photo].to_le_bytes());
            }
        }
        (count, digest::<md5::Md5>(&text))
    }

    fn lists_mut(&mut self) -> impl Iterator<Item = &mut PhotoList> {
        [Some(&mut self.train), self.validation.as_mut(), self.test.as_mut()].into_iter().flatten()
    }
}
