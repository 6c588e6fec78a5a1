//! What is wrong with a set of photos: damaged files, duplicates within and between its parts and classes,
//! single-colour and tiny photos, and how its classes compare.
//!
//! Every photo is read and decoded once, on all threads. Two photos are
//!
//! - *exact* duplicates if their files are equal (SHA-256);
//! - *near* duplicates if their difference hashes (dHash: whether each pixel of the photo in 9x8 grey pixels
//!   is brighter than its left neighbour, 64 bits) differ in at most [`NEAR_BITS`] bits, and the photos in
//!   16x16 grey pixels correlate by at least [`NEAR_CORRELATION`]. This finds copies that were compressed
//!   again, resized, or made brighter, but not mirrored or strongly cropped ones. Photos with almost no
//!   contrast in 16x16 pixels are not compared.
//!
//! Each photo joins the group of the first photo that it is a duplicate of, so that all photos of a group
//! are duplicates of its first one.

mod inspect;
mod result;
mod similar;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    path::PathBuf,
};

use resnet_formats::Shown;

pub use self::result::{
    ClassCheck, Damaged, Duplicates, Located, PhotoCheck, SINGLE_COLOUR, SizeClass, TINY,
};
pub use self::similar::{NEAR_BITS, NEAR_CORRELATION};
use self::{
    inspect::{Facts, inspect_all},
    similar::Leaders,
};
use crate::{DataError, PhotoList, PhotoSet};

/// The photos of all parts as one list.
struct All<'a> {
    parts: Vec<(&'static str, &'a PhotoList)>,
    classes: &'a [String],
}

impl All<'_> {
    fn len(&self) -> usize {
        self.parts.iter().map(|(_, list)| list.len()).sum()
    }

    fn at(&self, mut index: usize) -> (&'static str, &PhotoList, usize) {
        for &(part, list) in &self.parts {
            if index < list.len() {
                return (part, list, index);
            }
            index -= list.len();
        }
        unreachable!("the index of a photo");
    }

    fn path(&self, index: usize) -> PathBuf {
        let (_, list, index) = self.at(index);
        list.path(index)
    }

    fn label(&self, index: usize) -> usize {
        let (_, list, index) = self.at(index);
        list.labels()[index] as usize
    }

    fn located(&self, index: usize) -> Located {
        let class = self.classes[self.label(index)].clone();
        let (part, list, index) = self.at(index);
        let photo = list.name(index).shown().to_string();
        Located { photo, path: list.path(index), part, class }
    }
}

/// Checks all photos of a set. `progress` gets the number of photos done, and can stop the check.
///
/// # Errors
/// Only if it was stopped: damaged and unreadable photos are results.
///
/// # Panics
/// If `threads` is 0.
pub fn check(
    set: &PhotoSet,
    threads: usize,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<PhotoCheck, DataError> {
    let parts = [
        ("train", Some(&set.train)),
        ("val", set.validation.as_ref()),
        ("test", set.test.as_ref()),
    ];
    let parts = parts.into_iter().filter_map(|(part, list)| Some((part, list?))).collect();
    let all = All { parts, classes: &set.classes };
    let (facts, mut errors) = inspect_all(all.len(), &|index| all.path(index), threads, progress)?;
    errors.sort_by_key(|&(index, _)| index);
    let damaged: Vec<Damaged> = errors
        .into_iter()
        .map(|(index, reason)| Damaged { photo: all.located(index), reason })
        .collect();
    let located = |wanted: &dyn Fn(&Facts) -> bool| -> Vec<Located> {
        let found = facts.iter().enumerate();
        let found = found.filter(|(_, facts)| facts.as_ref().is_some_and(wanted));
        found.map(|(index, _)| all.located(index)).collect()
    };
    Ok(PhotoCheck {
        photos: all.len(),
        classes: classes(set, &all, &facts),
        single_colour: located(&|facts| facts.is_plain),
        tiny: located(&|facts| facts.shorter() < TINY),
        sizes: sizes(&facts),
        duplicates: duplicates(&all, &facts),
        damaged,
    })
}

fn classes(set: &PhotoSet, all: &All<'_>, facts: &[Option<Facts>]) -> Vec<ClassCheck> {
    let n = set.classes.len();
    let counts = |list: &Option<PhotoList>| list.as_ref().map(|list| list.counts(n));
    let train = set.train.counts(n);
    let (validation, test) = (counts(&set.validation), counts(&set.test));
    let mut sizes = vec![Vec::new(); n];
    let mut damaged = vec![0; n];
    for (index, facts) in facts.iter().enumerate() {
        match facts {
            Some(facts) => sizes[all.label(index)].push([facts.width, facts.height]),
            None => damaged[all.label(index)] += 1,
        }
    }
    let class = |class: usize| {
        let sizes = &mut sizes[class];
        sizes
            .sort_unstable_by_key(|&[width, height]| (u64::from(width) * u64::from(height), width));
        ClassCheck {
            name: set.classes[class].clone(),
            train: train[class],
            validation: validation.as_ref().map(|counts| counts[class]),
            test: test.as_ref().map(|counts| counts[class]),
            damaged: damaged[class],
            smallest: sizes.first().copied(),
            median: sizes.get(sizes.len() / 2).copied(),
            largest: sizes.last().copied(),
        }
    };
    (0..n).map(class).collect()
}

/// The counts of shorter sides, in powers of two and at the customary sizes of networks.
fn sizes(facts: &[Option<Facts>]) -> Vec<SizeClass> {
    const STEPS: [u32; 8] = [1, TINY, 64, 128, 224, 512, 1024, 2048];
    let below = STEPS.into_iter().skip(1).map(Some).chain([None]);
    let mut sizes: Vec<SizeClass> = STEPS
        .into_iter()
        .zip(below)
        .map(|(from, below)| SizeClass { from, below, photos: 0 })
        .collect();
    for facts in facts.iter().flatten() {
        let at = STEPS.iter().rposition(|&from| from <= facts.shorter()).unwrap_or(0);
        sizes[at].photos += 1;
    }
    sizes
}

/// The groups of photos that are duplicates of their first one.
fn duplicates(all: &All<'_>, facts: &[Option<Facts>]) -> Vec<Duplicates> {
    let mut leaders = Leaders::default();
    // By the digest, the first photo that has it, and the first photo of its group.
    let mut by_digest = HashMap::new();
    // By the first photo of a group, the others, each with the first photo of an equal file.
    let mut groups: BTreeMap<usize, Vec<(usize, Option<usize>)>> = BTreeMap::new();
    for (index, facts) in facts.iter().enumerate() {
        let Some(facts) = facts else { continue };
        let equal = by_digest.get(&facts.digest).copied();
        let (twin, first) = equal.unwrap_or_else(|| match facts.is_plain {
            // All photos of a single colour would be one group.
            true => (index, index),
            false => (index, leaders.first_like(index, facts.hash, &facts.grey)),
        });
        by_digest.entry(facts.digest).or_insert((twin, first));
        if first != index {
            groups.entry(first).or_default().push((index, equal.map(|(twin, _)| twin)));
        }
    }
    let finish = |(first, others): (usize, Vec<(usize, Option<usize>)>)| {
        let members: Vec<_> = [(first, None)].into_iter().chain(others).collect();
        let place = |twin| members.iter().position(|&(index, _)| index == twin);
        let photos: Vec<Located> = members.iter().map(|&(index, _)| all.located(index)).collect();
        let differ = |same: &dyn Fn(&Located, &Located) -> bool| {
            photos.iter().any(|photo| !same(photo, &photos[0]))
        };
        Duplicates {
            across_parts: differ(&|a, b| a.part == b.part),
            across_classes: differ(&|a, b| a.class == b.class),
            equal_to: members.iter().map(|&(_, twin)| twin.and_then(place)).collect(),
            photos,
        }
    };
    let mut groups: Vec<Duplicates> = groups.into_iter().map(finish).collect();
    groups.sort_by_key(|group| (!group.across_parts, !group.across_classes, group.near() > 0));
    groups
}
