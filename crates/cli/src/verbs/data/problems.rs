//! What a check of photos found, in words.

use resnet::data::check::{ClassCheck, Duplicates, NEAR_BITS, PhotoCheck, TINY};

use crate::print;

/// Classes differ much in size if the largest has this many times the photos of the smallest.
const UNBALANCED: usize = 10;

/// A kind of problem, and how many photos have it.
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) count: String,
    pub(super) example: String,
    /// Whether it spoils training or an evaluation: `--strict` fails.
    pub(super) is_severe: bool,
}

impl Problem {
    pub(super) fn sentence(&self) -> String {
        let Problem { what, count, example, .. } = self;
        let one = what.replacen("photos", "photo", 1);
        let what = if count == "1" { &one } else { what };
        format!("{count} {what}, such as {example}")
    }
}

/// What duplicates are, whether they spoil training, how many of a group there are, and an example.
type Kind<'a> = (&'a str, bool, fn(&Duplicates) -> usize, Example);

/// What is wrong, the worst first.
pub(super) fn problems(check: &PhotoCheck) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |what: String, count: usize, example: Option<String>, is_severe| {
        if let Some(example) = example {
            problems.push(Problem { what, count: print::grouped(count), example, is_severe });
        }
    };
    let damaged =
        check.damaged.first().map(|first| format!("{} {}", first.photo.photo, first.reason));
    add("photos damaged or unreadable".into(), check.damaged.len(), damaged, true);
    let near = format!("near duplicates (at most {NEAR_BITS} of 64 bits differ)");
    let kinds: [Kind<'_>; 4] = [
        ("photos in several parts", true, |group| usize::from(group.across_parts), other_part),
        (
            "photos with several labels",
            true,
            |group| usize::from(group.across_classes),
            other_class,
        ),
        ("exact duplicates", false, Duplicates::exact, equal),
        (&near, false, Duplicates::near, alike),
    ];
    for (what, is_severe, photos_of, example) in kinds {
        let count = check.duplicates.iter().map(photos_of).sum();
        let first = check.duplicates.iter().find(|group| photos_of(group) > 0);
        add(what.to_owned(), count, first.and_then(|group| pair(group, example)), is_severe);
    }
    for (what, photos) in [
        ("photos of a single colour".to_owned(), &check.single_colour),
        (format!("photos with a side below {TINY} pixels"), &check.tiny),
    ] {
        add(what, photos.len(), photos.first().map(|first| first.photo.clone()), false);
    }
    if let Some((large, small)) = extremes(&check.classes)
        && large.train >= UNBALANCED * small.train.max(1)
    {
        let example =
            format!("{} has {}, {} has {}", small.name, small.train, large.name, large.train);
        let few = |class: &&ClassCheck| large.train >= UNBALANCED * class.train.max(1);
        let count = check.classes.iter().filter(few).count();
        let what = format!("classes with a {UNBALANCED}th of the largest's photos or less");
        add(what, count, Some(example), false);
    }
    problems
}

/// The class with the most photos to train on, and the one with the fewest.
fn extremes(classes: &[ClassCheck]) -> Option<(&ClassCheck, &ClassCheck)> {
    let large = classes.iter().rev().max_by_key(|class| class.train)?;
    Some((large, classes.iter().min_by_key(|class| class.train)?))
}

/// The places of two photos of a group that make it a problem: in different parts or classes, with equal
/// files, or alike.
type Example = fn(&Duplicates) -> Option<(usize, usize)>;

fn other_part(group: &Duplicates) -> Option<(usize, usize)> {
    Some((0, group.photos.iter().position(|photo| photo.part != group.photos[0].part)?))
}

fn other_class(group: &Duplicates) -> Option<(usize, usize)> {
    Some((0, group.photos.iter().position(|photo| photo.class != group.photos[0].class)?))
}

fn equal(group: &Duplicates) -> Option<(usize, usize)> {
    group.equal_to.iter().enumerate().find_map(|(place, twin)| Some(((*twin)?, place)))
}

fn alike(group: &Duplicates) -> Option<(usize, usize)> {
    Some((0, 1 + group.equal_to.iter().skip(1).position(Option::is_none)?))
}

fn pair(group: &Duplicates, example: Example) -> Option<String> {
    let (a, b) = example(group)?;
    Some(format!("{} and {}", group.photos[a].photo, group.photos[b].photo))
}

/// The columns and rows of the table of classes.
pub(super) fn classes(check: &PhotoCheck) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let classes = &check.classes;
    let has = |part: fn(&ClassCheck) -> Option<usize>| classes.iter().any(|c| part(c).is_some());
    let (validation, test) = (has(|class| class.validation), has(|class| class.test));
    let damaged = !check.damaged.is_empty();
    let mut columns = vec!["class", "train"];
    columns.extend(validation.then_some("val"));
    columns.extend(test.then_some("test"));
    columns.extend(["smallest", "median", "largest"]);
    columns.extend(damaged.then_some("damaged"));
    let size = |size: Option<[u32; 2]>| size.map_or_else(String::new, |[w, h]| format!("{w}x{h}"));
    let row = |class: &ClassCheck| {
        let mut row = vec![class.name.clone(), print::grouped(class.train)];
        row.extend([class.validation, class.test].into_iter().flatten().map(print::grouped));
        row.extend([class.smallest, class.median, class.largest].map(size));
        row.extend(damaged.then(|| print::grouped(class.damaged)));
        row
    };
    (columns, classes.iter().map(row).collect())
}
