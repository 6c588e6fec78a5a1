//! The data set in a folder.

use std::{mem, ops::ControlFlow, path::Path};

use super::{
    layout::{Classes, layout},
    list::PhotoList,
    names::{self, Names, first},
    set::PhotoSet,
    walk::Walk,
};
use crate::{DataError, PhotoSetError};

/// The data set in a folder.
pub(super) fn of_folder(
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
        let is_unlabelled = may_be_foreign && list.is_empty();
        if !foreign.is_empty() && !is_unlabelled {
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
