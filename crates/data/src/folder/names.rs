//! Classes are matched by name.

use std::collections::{BTreeSet, HashMap};

use unicode_normalization::UnicodeNormalization;

use super::list::PhotoList;
use crate::{PhotoSetError, error::LISTED};

/// Names of classes, and the label of each.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    labels: HashMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    pub(super) fn new(classes: &'a [String]) -> Names<'a> {
        Names { labels: classes.iter().map(String::as_str).zip(0..).collect() }
    }

    pub(super) fn label(&self, class: &str) -> Option<u32> {
        self.labels.get(class).copied()
    }

    /// The error that a part has these classes, and training has not.
    pub(super) fn only_in(&self, part: &str, classes: &[&str]) -> PhotoSetError {
        let similar = classes.iter().find_map(|class| {
            let alike = |name: &&&str| !classes.contains(name) && folded(name) == folded(class);
            self.labels.keys().filter(alike).min()
        });
        PhotoSetError::OnlyIn {
            part: part.to_owned(),
            classes: first(classes),
            count: classes.len(),
            similar: similar.map(ToString::to_string),
        }
    }
}

/// The first names of a list, for an error.
pub(super) fn first(names: &[&str]) -> Vec<String> {
    names.iter().take(LISTED).map(ToString::to_string).collect()
}

/// A note for the first two classes whose names differ only in case or Unicode normalisation: they are
/// two classes, and seldom meant so.
pub(super) fn similar(classes: &[String]) -> Option<String> {
    let mut seen = HashMap::new();
    classes.iter().find_map(|class| {
        let other = seen.insert(folded(class), class)?;
        let differ =
            if folded_case(other) == folded_case(class) { "case" } else { "Unicode normalisation" };
        Some(format!(
            "the classes {other} and {class} differ only in {differ}: they are two classes"
        ))
    })
}

fn folded_case(name: &str) -> String {
    name.to_lowercase()
}

fn folded(name: &str) -> String {
    folded_case(name).nfc().collect()
}

/// The labels that a list has.
pub(super) fn labels_in(list: &PhotoList) -> BTreeSet<u32> {
    list.labels().iter().copied().collect()
}

/// A note about the classes that a part lacks.
pub(super) fn missing(part: &str, classes: &[String], list: &PhotoList) -> Option<String> {
    let present = labels_in(list);
    let absent = classes.iter().zip(0..).filter(|(_, label)| !present.contains(label));
    let absent: Vec<&str> = absent.map(|(class, _)| class.as_str()).collect();
    let few = first(&absent).join(", ");
    match absent.len() {
        0 => None,
        n if n <= LISTED => Some(format!("{part} has no photos of {few}")),
        n => Some(format!(
            "{part} has no photos of {n} of the {} classes, such as {few}",
            classes.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn similar_names_are_noted() {
        let note = |names: &[&str]| similar(&owned(names));
        assert_eq!(note(&["cat", "dog", "cats"]), None);
        assert!(note(&["Cat", "cat"]).unwrap().contains("Cat and cat differ only in case"));
        let note = note(&["cafe\u{301}", "caf\u{e9}"]).unwrap();
        assert!(note.contains("differ only in Unicode normalisation"), "{note}");
    }

    #[test]
    fn classes_without_photos_are_noted() {
        let classes = owned(&["a", "b", "c", "d", "e", "f", "g"]);
        let missing = |classes: &[String], labels: &[u32]| {
            let mut list = PhotoList::default();
            labels.iter().for_each(|&label| list.push(b"a.jpg", label));
            missing("val", classes, &list)
        };
        assert_eq!(missing(&classes[..2], &[1, 0, 1]), None);
        assert_eq!(missing(&classes[..3], &[1, 1]).unwrap(), "val has no photos of a, c");
        let note = missing(&classes, &[1]).unwrap();
        assert_eq!(note, "val has no photos of 6 of the 7 classes, such as a, c, d, e, f");
    }
}
