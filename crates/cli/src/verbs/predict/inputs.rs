//! Which photos are meant.

use std::path::{Path, PathBuf};

use resnet::data::photo;
use resnet_formats::Shown;

/// What the arguments name.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Files, in the order of the arguments; whether they are photos is not known yet.
    pub(super) photos: Vec<PathBuf>,
    /// What is wrong with the other arguments.
    pub(super) wrong: Vec<String>,
}

impl Inputs {
    pub(super) fn find(arguments: &[PathBuf]) -> Inputs {
        let mut inputs = Inputs::default();
        for argument in arguments {
            // A file may be called like a pattern.
            match argument.to_str() {
                Some(text) if text.contains(['*', '?', '[']) && !argument.exists() => {
                    inputs.add_pattern(text);
                }
                _ => inputs.add(argument),
            }
        }
        inputs
    }

    /// Files and wrong arguments.
    pub(super) fn len(&self) -> usize {
        self.photos.len() + self.wrong.len()
    }

    fn add(&mut self, path: &Path) {
        if !path.is_dir() {
            return self.photos.push(path.to_owned());
        }
        match photo::find(path) {
            Ok(photos) if photos.is_empty() => self.wrong.push(format!(
                "{} is a folder without images (.jpg, .jpeg, .png, .webp, .gif, .bmp)",
                path.shown()
            )),
            Ok(photos) => self.photos.extend(photos),
            Err(error) => self.wrong.push(error.to_string()),
        }
    }

    fn add_pattern(&mut self, pattern: &str) {
        let paths = match glob::glob(pattern) {
            Ok(paths) => paths,
            Err(error) => return self.wrong.push(format!("{pattern} is no pattern: {error}")),
        };
        let before = self.len();
        for path in paths {
            match path {
                Ok(path) => self.add(&path),
                Err(error) => self.wrong.push(error.to_string()),
            }
        }
        if self.len() == before {
            self.wrong.push(format!("{pattern} matches no file"));
        }
    }
}
