//! Folders that this program writes, which are no data: those of runs and of pictures.

use std::{fs::File, io, path::Path};

/// A hidden file in a folder of pictures.
const PICTURES: &str = ".resnet-pictures";
/// The file of an experiment.
const EXPERIMENT: &str = "experiment.toml";
/// What the folder of a run has: its configuration, and its metrics or its list of photos.
const CONFIG: &str = "config.toml";
const OF_RUN: [&str; 2] = ["metrics.jsonl", "photos.tsv"];

/// Whether a folder is that of a run or an experiment, or [marked](mark_output) as one of pictures.
pub fn is_output(folder: &Path) -> bool {
    let has = |name: &&str| folder.join(name).is_file();
    has(&PICTURES) || has(&EXPERIMENT) || has(&CONFIG) && OF_RUN.iter().any(has)
}

/// Marks a new folder of pictures: they are no photos to learn from. Another process may have marked it already.
///
/// # Errors
/// If the mark cannot be written.
pub fn mark_output(folder: &Path) -> io::Result<()> {
    match File::create_new(folder.join(PICTURES)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}
