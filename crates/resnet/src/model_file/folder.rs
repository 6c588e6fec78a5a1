//! Folders of models as on the Hugging Face hub: weights, and what JSON files say about them.

use std::path::{Path, PathBuf};

use resnet_formats::{
    safetensors,
    torch::{self, Weights},
};

use super::{
    Contents, FileFormat, ModelFileError,
    hub_files::{CONFIG, SAFETENSORS, text},
    pytorch::of_torch,
    timm, transformers,
};

/// The name before 2023.
const PYTORCH: &str = "pytorch_model.bin";

/// Whether a folder is one of a model.
pub(super) fn is_model(path: &Path) -> bool {
    weights_of(path).is_some()
}

fn weights_of(folder: &Path) -> Option<PathBuf> {
    [SAFETENSORS, PYTORCH].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads a folder.
pub(super) fn read(folder: &Path, weights: &Weights) -> Result<Contents, ModelFileError> {
    let Some(file) = weights_of(folder) else {
        return Err(ModelFileError::NoModel(folder.to_owned()));
    };
    let (mut notes, path) = (Vec::new(), folder.join(CONFIG));
    let stated = if !path.exists() {
        notes.push("the folder has no config.json with architecture and preprocessing".to_owned());
        None
    } else {
        let text = text(&path)?;
        Some(if transformers::is_config(&path, &text)? {
            let metadata = transformers::read_config(folder, &path, &text, &mut notes)?;
            (FileFormat::Transformers, metadata)
        } else {
            (FileFormat::Timm, timm::read_config(&path, &text)?)
        })
    };
    let mut contents = if file.ends_with(PYTORCH) {
        of_torch(torch::read_weights(&file, weights)?, weights)
    } else {
        let (tensors, metadata) = safetensors::read(&file)?;
        Contents::new(FileFormat::Safetensors, tensors, metadata)
    };
    if let Some((format, metadata)) = stated {
        contents.format = format;
        contents.metadata = metadata;
    }
    contents.notes.extend(notes);
    Ok(contents)
}
