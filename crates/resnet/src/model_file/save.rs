//! Saves models in any format.

use std::{io, path::Path};

use resnet_formats::{
    Destination,
    safetensors::{self, Metadata},
    torch,
};

use super::{
    Model, key,
    layout::version,
    metadata::json,
    onnx::{self, ExportError, ExportOptions},
    pytorch::to_scalars,
    timm,
};

/// The format of a file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFormat {
    /// safetensors: the state dict, with architecture, class names and preprocessing as metadata.
    Safetensors,
    /// PyTorch: a state dict, as `torch.save(net.state_dict(), file)` writes it.
    StateDict,
    /// PyTorch: a dict with the state dict as `model`, the optimiser's as `optimizer` if there is
    /// one, and architecture, class names and preprocessing.
    Checkpoint,
    /// ONNX.
    Onnx {
        /// Whether batch norms are folded into convolutions.
        fold: bool,
    },
    /// A folder for `timm.create_model("local-dir:FOLDER")`.
    Timm,
}

impl SaveFormat {
    /// The format of a suffix: `.safetensors`; `.pt`, `.pth` and `.th`; `.tar`; `.onnx`.
    pub fn from_suffix(path: &Path) -> Option<SaveFormat> {
        Some(match path.extension()?.to_ascii_lowercase().to_str()? {
            "safetensors" => SaveFormat::Safetensors,
            "pt" | "pth" | "th" => SaveFormat::StateDict,
            "tar" => SaveFormat::Checkpoint,
            "onnx" => SaveFormat::Onnx { fold: false },
            _ => return None,
        })
    }
}

impl Model {
    /// Saves the model atomically: the tensors under PyTorch's names, and architecture, class names
    /// and preprocessing as far as the format has a place for them. Only a
    /// [checkpoint](SaveFormat::Checkpoint) also has the optimiser's state. A path is replaced; see
    /// [`Destination`] for links and pipes.
    ///
    /// # Errors
    /// If the file cannot be written; [`io::ErrorKind::Unsupported`] if the format cannot hold the
    /// model.
    pub fn save<'p>(
        &self,
        destination: impl Into<Destination<'p>>,
        format: SaveFormat,
    ) -> io::Result<()> {
        let destination = destination.into();
        let state = self.network.state_dict();
        match format {
            SaveFormat::Safetensors => safetensors::write(destination, &state, &self.metadata()),
            SaveFormat::StateDict => torch::write_state_dict(destination, &state),
            SaveFormat::Checkpoint => {
                let mut metadata = self.run.clone();
                metadata.extend(self.metadata());
                let scalars = to_scalars(&metadata, self.epochs);
                let optimizer = self.optimizer.as_ref().ok().map(|held| held.to_torch(&state));
                torch::write_checkpoint(destination, &state, optimizer.as_ref(), &scalars)
            }
            SaveFormat::Onnx { fold } => {
                let mut metadata = self.metadata();
                let tracked = self.network.batches_tracked();
                if !fold && let Some(tracked) = tracked {
                    metadata.insert(key::BATCHES_TRACKED.into(), json(&tracked));
                }
                let options = ExportOptions { fold, metadata };
                onnx::export(&self.network, destination, &options).map_err(|error| match error {
                    ExportError::Write { source, .. } => source,
                    other => io::Error::new(io::ErrorKind::Unsupported, other),
                })
            }
            SaveFormat::Timm if version(self.normalisation.as_ref()) > 1 => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a folder of timm cannot hold a mean image",
            )),
            SaveFormat::Timm => timm::write(destination.path(), self),
        }
    }

    /// The metadata of a file, by the keys of [`key`].
    fn metadata(&self) -> Metadata {
        let entries = [
            (key::VERSION, Some(json(&version(self.normalisation.as_ref())))),
            (key::ARCH, Some(self.arch.to_string())),
            (key::CLASSES, self.classes.as_ref().map(json)),
            (key::IMAGE_SIZE, Some(json(&self.image_size))),
            (key::RESIZE, self.resize.as_ref().map(json)),
            (key::INTERPOLATION, other_than_default(&self.interpolation)),
            (key::CROP_MODE, other_than_default(&self.crop_mode)),
            (key::NORMALISATION, self.normalisation.as_ref().map(json)),
        ];
        entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// A value as an entry, unless it is what the entry's absence means.
fn other_than_default<T: Default + PartialEq + serde::Serialize>(value: &T) -> Option<String> {
    (*value != T::default()).then(|| json(value))
}
