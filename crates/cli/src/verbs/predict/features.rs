//! `--features`: a file of what enters the head of the network.

use std::path::{Path, PathBuf};

use anyhow::Context;
use resnet_formats::{Destination, Shown, Tensor, atomic_write, is_printable, npy, safetensors};

use crate::{args::Global, photos::file_name, print};

/// Key of the metadata with the names of the photos.
const FILES: &str = "files";

/// The features of photos so far, to be written at the end.
pub(super) struct FeatureFile<'a> {
    path: &'a Path,
    photos: Vec<PathBuf>,
    /// `[photos][features]`
    values: Vec<f32>,
}

impl FeatureFile<'_> {
    pub(super) fn new(path: &Path) -> FeatureFile<'_> {
        FeatureFile { path, photos: Vec::new(), values: Vec::new() }
    }

    pub(super) fn add(&mut self, photo: &Path, features: Vec<f32>) {
        self.photos.push(photo.to_owned());
        self.values.extend(features);
    }

    /// Writes the file; nothing without photos.
    pub(super) fn write(self, global: &Global) -> anyhow::Result<()> {
        let photos = self.photos.len();
        if photos == 0 {
            return Ok(());
        }
        let shape = [photos, self.values.len() / photos];
        let path = self.path;
        if path.extension().is_some_and(|suffix| suffix == "npy") {
            let names = path.with_extension("txt");
            let lines = self.photos.iter().map(|photo| file_name(photo, is_printable) + "\n");
            let lines: String = lines.collect();
            atomic_write(Destination::Follow(&names), |file| file.write_all(lines.as_bytes()))
                .with_context(|| format!("cannot write {}", names.shown()))?;
            npy::write(Destination::Follow(path), &shape, &self.values)
        } else {
            let names: Vec<String> =
                self.photos.iter().map(|photo| file_name(photo, |_| true)).collect();
            let metadata = [(FILES.to_owned(), serde_json::to_string(&names)?)].into();
            let tensors = vec![("features".to_owned(), Tensor::f32(&shape, self.values))];
            safetensors::write(Destination::Follow(path), &tensors, &metadata)
        }
        .with_context(|| format!("cannot write {}", path.shown()))?;
        global.status(format!(
            "wrote {} features of {} to {}",
            print::grouped(shape[1]),
            print::counted(photos as u64, "photo"),
            path.shown()
        ));
        Ok(())
    }
}
