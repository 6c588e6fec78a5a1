//! A folder of photos of three classes, and runs on it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::Sandbox;

pub(crate) const OF_CLASS: usize = 15;
pub(crate) const CLASSES: [&str; 3] = ["circle", "naïve name", "square"];

/// Writes a folder `photos` of three classes.
pub(crate) fn make_photos(s: &Sandbox) -> PathBuf {
    let root = s.path("photos");
    for (class, name) in CLASSES.into_iter().enumerate() {
        fs::create_dir_all(root.join(name)).unwrap();
        for index in 0..OF_CLASS {
            let path = root.join(name).join(format!("{index}.ppm"));
            fs::write(path, photo(class, index)).unwrap();
        }
    }
    root
}

/// A PPM of its own size.
pub(crate) fn photo(class: usize, index: usize) -> Vec<u8> {
    let (width, height) = (30 + 3 * index, 70 - 2 * index);
    let mut bytes = format!("P6 {width} {height} 255\n").into_bytes();
    for i in 0..width * height {
        let (x, y) = (i % width, i / width);
        bytes.extend([(x * (class + 2)) as u8, (y * 3 + index) as u8, (90 * class) as u8]);
    }
    bytes
}

pub(crate) fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["train", "photos", "--arch", "resnet8", "--batch-size", "8", "--threads", "2"];
    [&usual[..], more].concat()
}

pub(crate) fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The photos of a part of a run.
pub(crate) fn names(run: &Path, part: &str) -> Vec<String> {
    let text = fs::read_to_string(run.join("photos.tsv")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(part));
    lines.map(|line| line.split('\t').nth(2).unwrap().to_owned()).collect()
}
