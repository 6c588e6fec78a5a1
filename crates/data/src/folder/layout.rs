//! Where the parts of a data set are in its folder, and their classes.

use std::{ffi::OsString, path::Path};

use super::{
    left_out::Why,
    walk::{Content, Walk, joined},
};
use crate::{DataError, PhotoSetError, error::counted};

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    /// The part of a folder or a cell with this name, in any case.
    pub(super) fn named(name: &str) -> Option<Part> {
        Some(match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Part::Train,
            "val" | "valid" | "validation" => Part::Validation,
            "test" | "testing" => Part::Test,
            _ => return None,
        })
    }
}

/// A folder of classes.
#[derive(Debug)]
pub(super) struct Classes {
    /// Its name below the root; nothing for the root itself.
    pub(super) folder: String,
    /// Names of the classes, sorted by their bytes, as Python sorts strings: `10` comes before `2`.
    pub(super) classes: Vec<String>,
}

/// The folders of classes of a data set.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) train: Classes,
    pub(super) validation: Option<Classes>,
    pub(super) test: Option<Classes>,
    pub(super) notes: Vec<String>,
}

/// Finds the parts below the root.
pub(super) fn layout(root: &Path, walk: &mut Walk<'_>) -> Result<Layout, DataError> {
    let mut top = walk.content(root)?;
    let parts = parts(root, &top, walk)?;
    let [train, validation, test] = parts.names;
    let Some(train) = train else {
        let names = top.folders.clone();
        let train = classes(root, String::new(), &mut top, walk)?;
        let named = names.iter().filter_map(|name| Some((name, Part::named(name.to_str()?)?)));
        let notes = named.map(|(name, _)| {
            format!("{} is a class here, for there are folders next to it", name.to_string_lossy())
        });
        let notes = notes.collect();
        return Ok(Layout { train, validation: None, test: None, notes });
    };
    for name in parts.others {
        walk.leave_out(Why::NotAPart, &root.join(name));
    }
    let mut notes = Vec::new();
    let mut open = |name: String| {
        let folder = root.join(&name);
        let mut content = walk.content(&folder)?;
        // No photos, or those of a contest, whose labels are secret.
        let what = match content.photos {
            0 => "no photos".to_owned(),
            photos => format!("{} without class folders", counted(photos)),
        };
        let is_test = Part::named(&name) == Some(Part::Test);
        if content.folders.is_empty() && (content.photos == 0 || is_test) {
            notes.push(format!("{name} has {what}: it is left out"));
            return Ok(None);
        }
        classes(&folder, name, &mut content, walk).map(Some)
    };
    let [validation, test] = [validation, test].map(|name| name.map(&mut open).transpose());
    let (validation, test) = (validation?.flatten(), test?.flatten());
    let folder = root.join(&train);
    let mut content = walk.content(&folder)?;
    let train = classes(&folder, train, &mut content, walk)?;
    Ok(Layout { train, validation, test, notes })
}

/// The folders of the parts, as [`Part`] orders them, and the other folders next to them.
#[derive(Default)]
struct Parts {
    names: [Option<String>; 3],
    others: Vec<OsString>,
}

/// The parts of a folder that has a folder `train`, and next to it other parts or nothing: then it is no
/// class. But if it has photos without folders, and there are folders next to it that are no parts, the
/// class of trains is meant.
fn parts(root: &Path, top: &Content, walk: &mut Walk<'_>) -> Result<Parts, DataError> {
    let mut parts = Parts::default();
    for name in &top.folders {
        match name.to_str().and_then(|name| Some((name, Part::named(name)?))) {
            Some((name, part)) => {
                let slot = &mut parts.names[part as usize];
                if let Some(other) = slot.take() {
                    let (root, names) = (root.to_owned(), [other, name.to_owned()]);
                    return Err(PhotoSetError::TwoParts { root, names }.into());
                }
                *slot = Some(name.to_owned());
            }
            None => parts.others.push(name.clone()),
        }
    }
    let [train, validation, test] = &parts.names;
    let other_part = validation.as_ref().or(test.as_ref());
    match (train, other_part) {
        (_, None) if !parts.others.is_empty() => Ok(Parts::default()),
        (Some(train), _) if !parts.others.is_empty() => {
            // It is read again, and what it leaves out is counted then.
            let left_out = walk.left_out.clone();
            let train = walk.content(&root.join(train))?;
            walk.left_out = left_out;
            Ok(if train.folders.is_empty() { Parts::default() } else { parts })
        }
        (None, Some(part)) if parts.others.is_empty() => {
            let (root, part) = (root.to_owned(), part.clone());
            Err(PhotoSetError::NoTrainingPart { root, part }.into())
        }
        (None, _) => Ok(Parts::default()),
        (Some(_), _) => Ok(parts),
    }
}

/// The classes in a folder.
fn classes(
    folder: &Path,
    name: String,
    content: &mut Content,
    walk: &mut Walk<'_>,
) -> Result<Classes, DataError> {
    if content.folders.is_empty() {
        let folder = folder.to_owned();
        let photos = content.photos;
        return Err(match content.photo.take() {
            Some(example) => PhotoSetError::NoClasses {
                example: example.into(),
                table: content.table.as_ref().map(|table| folder.join(table)),
                photos,
                folder,
            },
            None => PhotoSetError::NoPhotos(folder),
        }
        .into());
    }
    if let Some(photo) = &content.photo {
        (0..content.photos).for_each(|_| walk.leave_out(Why::NoClass, &folder.join(photo)));
    }
    let text = |class: OsString| {
        class.into_string().map_err(|class| PhotoSetError::ClassName(folder.join(class)))
    };
    let classes = content.folders.drain(..).map(text).collect::<Result<_, _>>()?;
    Ok(Classes { folder: name, classes })
}

impl Classes {
    /// The folder of a class, relative to the root.
    pub(super) fn path(&self, class: &str) -> Vec<u8> {
        joined(self.folder.as_bytes(), class.as_bytes())
    }
}
