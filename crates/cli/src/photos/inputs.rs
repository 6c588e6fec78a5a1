//! Finds the photos that the arguments name.

use std::path::{Path, PathBuf};

use resnet::data::photo::{self, Found};
use resnet_formats::Shown;

/// The photos that the arguments name.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// Files in the order of the arguments. Their content is not checked yet.
    pub(crate) photos: Vec<PathBuf>,
    /// Errors of the other arguments and of folders.
    pub(crate) errors: Vec<String>,
    /// Notes about folders.
    pub(crate) notes: Vec<String>,
}

impl Inputs {
    pub(crate) fn find(arguments: &[PathBuf]) -> Inputs {
        let mut inputs = Inputs::default();
        for argument in arguments {
            // An existing file may have a name that looks like a pattern.
            match argument.to_str() {
                Some(text) if text.contains(['*', '?', '[']) && !argument.exists() => {
                    inputs.add_pattern(text);
                }
                _ => inputs.add(argument),
            }
        }
        inputs
    }

    /// Number of files and errors.
    pub(crate) fn len(&self) -> usize {
        self.photos.len() + self.errors.len()
    }

    fn add(&mut self, path: &Path) {
        if !path.is_dir() {
            return self.photos.push(path.to_owned());
        }
        let Found { photos, errors, outside, output } = photo::find(path);
        if photos.is_empty() && errors.is_empty() {
            self.errors.push(format!(
                "the folder {} has no images (JPEG, PNG, WebP, GIF, BMP, TIFF)",
                path.shown()
            ));
        }
        self.photos.extend(photos);
        self.errors.extend(errors.iter().map(ToString::to_string));
        let note = |(link, target): &(PathBuf, PathBuf)| {
            format!("{} is a link out of its folder, to {}", link.shown(), target.shown())
        };
        self.notes.extend(outside.iter().map(note));
        self.notes.extend(match &output[..] {
            [] => None,
            [folder] => Some(format!("left out a folder that resnet wrote, {}", folder.shown())),
            [first, ..] => Some(format!(
                "left out {} folders that resnet wrote, such as {}",
                output.len(),
                first.shown()
            )),
        });
    }

    fn add_pattern(&mut self, pattern: &str) {
        let paths = match glob::glob(pattern) {
            Ok(paths) => paths,
            Err(error) => {
                return self.errors.push(format!("{pattern} is not a glob pattern: {error}"));
            }
        };
        let before = self.len();
        for path in paths {
            match path {
                Ok(path) => self.add(&path),
                Err(error) => self.errors.push(error.to_string()),
            }
        }
        if self.len() == before {
            self.errors.push(format!("{pattern} matches no file"));
        }
    }
}
