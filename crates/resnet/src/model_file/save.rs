//! Models to files of every form.

use std::{io, path::Path};

use resnet_formats::{
    Place,
    safetensors::{self, Metadata},
    torch,
};

use super::{
    Model, key,
    layout::FORMAT_VERSION,
    metadata::json,
    onnx::{self, ExportError, ExportOptions},
    pytorch::to_scalars,
    timm,
};

/// The form of a file to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFormat {
    /// safetensors: the state dict, and in its metadata what the model is.
    Safetensors,
    /// PyTorch: a state dict and nothing else.
    StateDict,
    /// PyTorch: a dict of the state dict as `model`, the optimiser as `optimizer` where there is
    /// one, and what the model is.
    Checkpoint,
    /// ONNX, with batch norms folded into convolutions or not.
    Onnx {
        /// Whether they are folded.
        fold: bool,
    },
    /// A folder that timm loads.
    Timm,
}

impl SaveFormat {
    /// The form that a file's suffix stands for.
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
    /// Writes the model, atomically: its tensors by PyTorch's names, and what it is, as far as the
    /// form has a place for that. A path is a place of one's own (see [`Place`]). Only a [checkpoint](SaveFormat::Checkpoint) has one for the optimiser.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::Unsupported`] if the form cannot hold the model.
    pub fn save<'p>(&self, place: impl Into<Place<'p>>, format: SaveFormat) -> io::Result<()> {
        let place = place.into();
        let state = self.network.state_dict();
        match format {
            SaveFormat::Safetensors => safetensors::write(place, &state, &self.metadata()),
            SaveFormat::StateDict => torch::write_state_dict(place, &state),
            SaveFormat::Checkpoint => {
                let mut metadata = self.run.clone();
                metadata.extend(self.metadata());
                let scalars = to_scalars(&metadata, self.epochs);
                let sgd = self.optimizer.as_ref().ok().map(|optimizer| optimizer.to_torch(&state));
                torch::write_checkpoint(place, &state, sgd.as_ref(), &scalars)
            }
            SaveFormat::Onnx { fold } => {
                let mut metadata = self.metadata();
                let tracked = self.network.batches_tracked();
                if !fold && let Some(tracked) = tracked {
                    metadata.insert(key::BATCHES_TRACKED.into(), json(&tracked));
                }
                let options = ExportOptions { fold, metadata };
                onnx::export(&self.network, place, &options).map_err(|error| match error {
                    ExportError::Write { source, .. } => source,
                    other => io::Error::new(io::ErrorKind::Unsupported, other),
                })
            }
            SaveFormat::Timm => timm::write(place.path(), self),
        }
    }

    /// What a file says of the model, by the keys of [`key`].
    fn metadata(&self) -> Metadata {
        let entries = [
            (key::FORMAT_VERSION, Some(json(&FORMAT_VERSION))),
            (key::ARCH, Some(self.arch.to_string())),
            (key::CLASSES, self.classes.as_ref().map(json)),
            (key::IMAGE_SIZE, Some(json(&self.image_size))),
            (key::RESIZE, self.resize.as_ref().map(json)),
            (key::NORMALISATION, self.normalisation.as_ref().map(json)),
        ];
        entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}
