//! `--features`: a file of what enters the head of the network.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use resnet_formats::{Destination, Shown, Tensor, atomic_write, is_printable, npy, safetensors};

use crate::{
    args::Global,
    photos::{file_name, json_name},
    print,
};

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
    /// No features yet.
    ///
    /// # Errors
    /// If the names of the photos would replace a file that is not of an earlier call.
    pub(super) fn new(path: &Path) -> anyhow::Result<FeatureFile<'_>> {
        if let Some(names) = names_of(path)
            && names.exists()
            && !path.exists()
        {
            bail!(
                "the names of the photos would replace {}: choose another --features",
                names.shown()
            );
        }
        Ok(FeatureFile { path, photos: Vec::new(), values: Vec::new() })
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
        let cannot_write = |path: &Path| format!("cannot write {}", path.shown());
        if let Some(names) = names_of(path) {
            npy::write(Destination::Follow(path), &shape, &self.values)
                .with_context(|| cannot_write(path))?;
            let lines = self.photos.iter().map(|photo| file_name(photo, is_printable) + "\n");
            let lines: String = lines.collect();
            let written =
                atomic_write(Destination::Follow(&names), |file| file.write_all(lines.as_bytes()));
            if written.is_err() {
                // Features without names, or with those of other photos, are of no use.
                for path in [path, &names].into_iter().filter(|path| path.is_file()) {
                    let _ = fs::remove_file(path);
                }
            }
            written.with_context(|| cannot_write(&names))?;
        } else {
            let names: Vec<String> = self.photos.iter().map(|photo| json_name(photo)).collect();
            let metadata = [(FILES.to_owned(), serde_json::to_string(&names)?)].into();
            let tensors = vec![("features".to_owned(), Tensor::f32(&shape, self.values))];
            safetensors::write(Destination::Follow(path), &tensors, &metadata)
                .with_context(|| cannot_write(path))?;
        }
        global.status(format!(
            "wrote {} features of {} to {}",
            print::grouped(shape[1]),
            print::counted(photos as u64, "photo"),
            path.shown()
        ));
        Ok(())
    }
}

/// The file with the names of the photos that belongs to a file of features; none for safetensors.
fn names_of(path: &Path) -> Option<PathBuf> {
    path.extension().is_some_and(|suffix| suffix == "npy").then(|| path.with_extension("txt"))
}
