//! Errors of folders and tables of photos.

use std::path::PathBuf;

use resnet_formats::{Shown, brief, printable};
use thiserror::Error;

/// Why a folder or a table of photos is no data set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PhotoSetError {
    /// The folder is a file.
    #[error("{} is not a folder: give one that has a folder of photos for each class", .0.shown())]
    NotAFolder(PathBuf),
    /// There are neither classes nor photos.
    #[error(
        "{} has no photos: give a folder that has a folder of photos for each class", .0.shown()
    )]
    NoPhotos(PathBuf),
    /// There are photos, but no classes.
    #[error(
        "{} has {}, such as {}, but no class folders: sort them into a folder for each class, \
         or give a table of their labels with --labels {}",
        folder.shown(), counted(*photos), example.shown(),
        table.as_deref().map_or_else(|| "FILE".into(), |table| table.shown().to_string())
    )]
    NoClasses {
        /// The folder.
        folder: PathBuf,
        /// Photos in it.
        photos: usize,
        /// One of them.
        example: PathBuf,
        /// A file in it that may be a table of labels.
        table: Option<PathBuf>,
    },
    /// There is one class.
    #[error(
        "{} has photos of one class, {}: there is nothing to learn{}",
        root.shown(), brief(class),
        within.as_deref().map_or_else(String::new, |folder| format!(
            "; if the classes are the folders in it, give {}", folder.shown()
        ))
    )]
    OneClass {
        /// The folder or table.
        root: PathBuf,
        /// The class.
        class: String,
        /// The folder of the class, if it has several folders.
        within: Option<PathBuf>,
    },
    /// Some classes have no photos to train on.
    #[error(
        "no photos in the class {} {}{}: put photos there, or remove the folder",
        if *count == 1 { "folder" } else { "folders" },
        listed(classes, *count),
        left_out.as_deref().map_or_else(String::new, |what| format!(" ({})", printable(what)))
    )]
    EmptyClasses {
        /// The folders of the first of them.
        classes: Vec<String>,
        /// How many there are.
        count: usize,
        /// What was left out of the folder, if anything was.
        left_out: Option<String>,
    },
    /// A validation or test part has classes that the training part has not.
    #[error(
        "{part} has photos of {}, which train has not: {}",
        listed(classes, *count),
        similar.as_deref().map_or_else(
            || "add photos to train, or remove them".to_owned(),
            |similar| format!("train has {}, another name", brief(similar))
        )
    )]
    OnlyIn {
        /// The part.
        part: String,
        /// The first of these classes.
        classes: Vec<String>,
        /// How many there are.
        count: usize,
        /// A class of the training part whose name differs only in case or Unicode normalisation.
        similar: Option<String>,
    },
    /// Photos have labels that a model or a run does not know.
    #[error(
        "{} has photos of {}, which {whose} does not know: give these classes the names that {whose} has",
        root.shown(), listed(classes, *count)
    )]
    UnknownClasses {
        /// The folder or table.
        root: PathBuf,
        /// The first of these classes.
        classes: Vec<String>,
        /// How many there are.
        count: usize,
        /// Whose classes were asked for.
        whose: String,
    },
    /// The name of a class is not UTF-8.
    #[error("{} is not UTF-8, as the name of a class must be: rename the folder", .0.shown())]
    ClassName(PathBuf),
    /// Two folders are the same part.
    #[error("{} has two folders of the same part, {} and {}: keep one", root.shown(), brief(&names[0]), brief(&names[1]))]
    TwoParts {
        /// The folder.
        root: PathBuf,
        /// Their names.
        names: [String; 2],
    },
    /// There is a validation or test part, but none to train on.
    #[error(
        "{} has {} but no folder train: add it, or give {} itself as a folder of classes",
        root.shown(), brief(part), root.join(part).shown()
    )]
    NoTrainingPart {
        /// The folder.
        root: PathBuf,
        /// The part that there is.
        part: String,
    },
    /// There are too many files.
    #[error("{} has more than {most} files and folders, including links", folder.shown())]
    TooMany {
        /// The folder.
        folder: PathBuf,
        /// The limit.
        most: usize,
    },
    /// A table of labels cannot be used.
    #[error("{}{}: {problem}", file.shown(), line.map_or_else(String::new, |n| format!(", line {n}")))]
    Table {
        /// The file.
        file: PathBuf,
        /// The line, if it is about one.
        line: Option<u64>,
        /// What is wrong.
        problem: String,
    },
    /// Photos of a table are missing.
    #[error(
        "{count} of the {rows} photos in {} {} missing: {}. Paths are relative to {}{}",
        file.shown(), if *count == 1 { "is" } else { "are" }, listed(missing, *count), base.shown(),
        if *is_header { "; is the first line a header? Name its columns path and label" } else { "" }
    )]
    MissingPhotos {
        /// The table.
        file: PathBuf,
        /// The folder that its paths are relative to.
        base: PathBuf,
        /// The first of them.
        missing: Vec<String>,
        /// How many there are.
        count: usize,
        /// Rows of the table.
        rows: usize,
        /// Whether only that of the first line is missing.
        is_header: bool,
    },
    /// The caller stopped the listing.
    #[error("the search for photos was stopped")]
    Stopped,
}

/// `1 photo`, `12 photos`.
pub(crate) fn counted(photos: usize) -> String {
    format!("{photos} photo{}", if photos == 1 { "" } else { "s" })
}

/// How many names an error lists.
pub(crate) const LISTED: usize = 5;

/// `a, b, c` or `a, b, c, d, e and 7 more`, of the first names of `count`.
fn listed(names: &[String], count: usize) -> String {
    let names: Vec<_> = names.iter().take(LISTED).map(|name| brief(name).to_string()).collect();
    match count - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
