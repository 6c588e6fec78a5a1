//! `--cam`: a picture of each photo with its class activation map.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use resnet_formats::Shown;
use resnet_pictures::{HeatMap, Picture, photo_cam};

use crate::{
    args::{Global, PictureFormat, PredictArgs},
    photos::{Classified, Classifier, label},
    pictures, print,
};

/// The most classes that are listed in a picture.
const CLASSES: usize = 5;
/// Bytes of a photo's name in that of its picture: with `-cam`, a number and the suffix it fits into the 255 bytes
/// that file systems allow.
const STEM: usize = 220;

/// Draws photos, one picture each.
pub(super) struct HeatMaps<'a> {
    out: Option<&'a Path>,
    format: PictureFormat,
    /// The folder of the pictures, once there is one.
    folder: Option<PathBuf>,
    /// Path of the model.
    model: PathBuf,
    arch: String,
    classes: Vec<String>,
    top: usize,
    side: usize,
    channels: usize,
    /// Names of the pictures so far, in lower case.
    taken: HashSet<String>,
}

impl HeatMaps<'_> {
    pub(super) fn new<'a>(args: &'a PredictArgs, classifier: &Classifier) -> HeatMaps<'a> {
        let model = classifier.predictor.model();
        HeatMaps {
            out: args.out.as_deref(),
            format: args.format,
            folder: None,
            model: model.path.clone(),
            arch: model.arch.to_string(),
            classes: model.class_names(),
            top: args.top.min(CLASSES),
            side: classifier.predictor.preparation().image_size,
            channels: model.network.graph().in_channels(),
            taken: HashSet::new(),
        }
    }

    /// Draws a photo as the network sees it, its map and its classes. Returns the files.
    pub(super) fn draw(
        &mut self,
        path: &Path,
        photo: &Classified<'_>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let picture = Picture::from_channels(self.side, self.side, self.channels, photo.pixels);
        let map = photo.map();
        let map = HeatMap { rows: map.rows, columns: map.columns, values: map.values };
        let top = photo.top(self.top).into_iter();
        let top: Vec<_> = top.map(|(class, p)| (self.classes[class].clone(), p)).collect();
        let (name, detail) = (label(path), format!("{}: heat map of {}", self.arch, top[0].0));
        let stem = self.stem(path);
        let files = pictures::encode(self.format, |theme| {
            vec![(stem.clone(), photo_cam(&picture, &map, &top, (&*name, &*detail), theme))]
        })?;
        let folder = match &self.folder {
            Some(folder) => folder,
            None => self.folder.insert(pictures::make_folder(self.out, &self.model, "cam")?),
        };
        pictures::write(folder, files)
    }

    /// The stem of a new file: that of the photo, numbered if several photos have it.
    fn stem(&mut self, path: &Path) -> OsString {
        let stem = path.file_stem().filter(|_| path != Path::new("-"));
        let mut name = cut(stem.unwrap_or(OsStr::new("photo")));
        name.push("-cam");
        let mut numbered = name.clone();
        let mut number = 1;
        while !self.taken.insert(numbered.to_string_lossy().to_lowercase()) {
            number += 1;
            numbered = name.clone();
            numbered.push(format!("-{number}"));
        }
        numbered
    }

    pub(super) fn say_where(self, global: &Global) {
        if let Some(folder) = self.folder {
            let count = print::counted(self.taken.len() as u64, "heat map");
            global.status(format!("wrote {count} into {}", folder.shown()));
        }
    }
}

/// A name, or its first characters, as many as fit into that of a picture.
fn cut(name: &OsStr) -> OsString {
    if name.len() <= STEM {
        return name.to_owned();
    }
    let mut text = name.to_string_lossy().into_owned();
    let end = (0..=STEM).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_between_characters() {
        let of = |text: &str| cut(OsStr::new(text)).into_string().unwrap();
        assert_eq!(of(&"x".repeat(220)), "x".repeat(220));
        assert_eq!(of(&"x".repeat(221)), "x".repeat(220));
        assert_eq!(of(&"смех".repeat(30)), "смех".repeat(27) + "см");
        assert_eq!(of(&"猫".repeat(85)), "猫".repeat(73));
    }
}
