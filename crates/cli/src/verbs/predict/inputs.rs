//! Which photos are meant.

use std::path::{Path, PathBuf};

use resnet::data::photo::{self, Found};
use resnet_formats::Shown;

/// What the arguments name.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Files, in the order of the arguments; whether they are photos is not known yet.
    pub(super) photos: Vec<PathBuf>,
    /// What is wrong with the other arguments, and with what is in folders.
    pub(super) wrong: Vec<String>,
    /// What to know about the folders among them.
    pub(super) notes: Vec<String>,
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
        let Found { photos, wrong, elsewhere } = photo::find(path);
        if photos.is_empty() && wrong.is_empty() {
            self.wrong.push(format!(
                "{} is a folder without images (.jpg, .jpeg, .png, .webp, .gif, .bmp)",
                path.shown()
            ));
        }
        self.photos.extend(photos);
        self.wrong.extend(wrong.iter().map(ToString::to_string));
        let leads = |(link, to): &(PathBuf, PathBuf)| {
            format!("{} leads out of its folder, to {}", link.shown(), to.shown())
        };
        self.notes.extend(elsewhere.iter().map(leads));
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
