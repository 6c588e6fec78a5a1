//! The page of `resnet data check --html`.

use resnet::data::{
    PhotoSet,
    check::{Duplicates, Located, PhotoCheck},
    photo::Photo,
};
use resnet_formats::Shown;
use resnet_pictures::{
    Picture,
    report::{PhotoPage, PhotoSection, Thumbnail},
};

use super::problems::{Problem, classes};
use crate::{args::PhotoCheckArgs, print, verbs::report::written_by};

/// Longer side of a photo on the page, pixels.
const SIDE: usize = 96;
/// Photos of a group, groups of a section, and lines of damaged photos on the page.
const PHOTOS: usize = 6;
const GROUPS: usize = 24;
const LINES: usize = 1000;

pub(super) fn page(
    set: &PhotoSet,
    check: &PhotoCheck,
    problems: &[Problem],
    args: &PhotoCheckArgs,
) -> PhotoPage {
    let figure = |name: &str, n: usize| (name.to_owned(), print::grouped(n));
    let mut sections = vec![problem_table(problems), class_table(check), size_table(check)];
    sections.push(damaged(check));
    for (heading, note, is_kind) in KINDS {
        sections.push(duplicates(check, heading, note, is_kind));
    }
    for (heading, photos) in
        [("Photos of a single colour", &check.single_colour), ("Tiny photos", &check.tiny)]
    {
        sections.push(gallery(heading, photos));
    }
    sections.push(examples(set));
    sections.retain(|section| !section.rows.is_empty() || !section.groups.is_empty());
    PhotoPage {
        title: args.photos.shown().to_string(),
        written_by: written_by(),
        figures: vec![
            figure("Photos", check.photos),
            figure("Classes", check.classes.len()),
            figure("Damaged", check.damaged.len()),
            figure("Groups of duplicates", check.duplicates.len()),
        ],
        notes: set.notes.clone(),
        sections,
    }
}

type Kind = (&'static str, &'static str, fn(&Duplicates) -> bool);

/// The sections of duplicates. A group is in the first that it belongs to.
const KINDS: [Kind; 4] = [
    ("In several parts", "The network is evaluated on photos that it was trained on.", |group| {
        group.across_parts
    }),
    ("With several labels", "One photo, two classes.", |group| {
        !group.across_parts && group.across_classes
    }),
    ("Exact duplicates", "Equal files.", |group| {
        !group.across_parts && !group.across_classes && group.near() == 0
    }),
    ("Near duplicates", "Photos that look the same.", |group| {
        !group.across_parts && !group.across_classes && group.near() > 0
    }),
];

fn table(heading: &str, columns: &[&str], rows: Vec<Vec<String>>) -> PhotoSection {
    PhotoSection {
        heading: heading.into(),
        columns: columns.iter().map(ToString::to_string).collect(),
        rows,
        ..PhotoSection::default()
    }
}

fn problem_table(problems: &[Problem]) -> PhotoSection {
    let row = |p: &Problem| vec![p.what.clone(), p.count.clone(), p.example.clone()];
    table("Problems", &["Problem", "Count", "Example"], problems.iter().map(row).collect())
}

fn class_table(check: &PhotoCheck) -> PhotoSection {
    let (columns, rows) = classes(check);
    table("Classes", &columns, rows)
}

fn size_table(check: &PhotoCheck) -> PhotoSection {
    let sizes = check.sizes.iter().filter(|size| size.photos > 0);
    let row = |size: &resnet::data::check::SizeClass| {
        let range = match size.below {
            Some(below) => format!("{} to {}", size.from, below - 1),
            None => format!("{} or more", size.from),
        };
        vec![range, print::grouped(size.photos)]
    };
    table("Sizes", &["Shorter side, pixels", "Photos"], sizes.map(row).collect())
}

fn damaged(check: &PhotoCheck) -> PhotoSection {
    let row = |d: &resnet::data::check::Damaged| vec![d.photo.photo.clone(), d.reason.clone()];
    let rows = check.damaged.iter().take(LINES).map(row).collect();
    let mut section = table("Damaged photos", &["Photo", "What is wrong"], rows);
    section.note = rest(check.damaged.len(), LINES);
    section
}

fn duplicates(
    check: &PhotoCheck,
    heading: &str,
    note: &str,
    is_kind: fn(&Duplicates) -> bool,
) -> PhotoSection {
    let groups: Vec<_> = check.duplicates.iter().filter(|group| is_kind(group)).collect();
    let show = |group: &&Duplicates| {
        let photos = &group.photos;
        let more = rest(photos.len(), PHOTOS);
        (more, photos.iter().take(PHOTOS).map(thumbnail).collect())
    };
    PhotoSection {
        heading: heading.into(),
        note: format!("{note} {}", rest(groups.len(), GROUPS)),
        groups: groups.iter().take(GROUPS).map(show).collect(),
        ..PhotoSection::default()
    }
}

fn gallery(heading: &str, photos: &[Located]) -> PhotoSection {
    let shown: Vec<_> = photos.iter().take(GROUPS).map(thumbnail).collect();
    PhotoSection {
        heading: heading.into(),
        note: rest(photos.len(), GROUPS),
        groups: if shown.is_empty() { Vec::new() } else { vec![(String::new(), shown)] },
        ..PhotoSection::default()
    }
}

/// The first photos of the first classes.
fn examples(set: &PhotoSet) -> PhotoSection {
    let labels = set.train.labels();
    let of_class = |(class, label): (&String, u32)| {
        let photos = (0..set.train.len()).filter(|&photo| labels[photo] == label).take(PHOTOS);
        let show = |photo: usize| Thumbnail {
            picture: picture(&set.train.path(photo)),
            caption: set.train.name(photo).shown().to_string(),
        };
        (class.clone(), photos.map(show).collect())
    };
    PhotoSection {
        heading: "The first photos of each class".into(),
        note: rest(set.classes.len(), GROUPS),
        groups: set.classes.iter().zip(0..).take(GROUPS).map(of_class).collect(),
        ..PhotoSection::default()
    }
}

/// How many of `n` are not shown, if some are not.
fn rest(n: usize, shown: usize) -> String {
    match n.checked_sub(shown) {
        None | Some(0) => String::new(),
        Some(_) => format!("{shown} of {} are shown.", print::grouped(n)),
    }
}

fn thumbnail(photo: &Located) -> Thumbnail {
    Thumbnail { picture: picture(&photo.path), caption: photo.photo.clone() }
}

/// A small copy of a photo, if it can be read.
fn picture(path: &std::path::Path) -> Option<Picture> {
    let Photo { height, width, channels, pixels } = Photo::read(path, false).ok()?;
    Some(Picture::from_channels(width, height, channels, &pixels).shrunk(SIDE))
}
