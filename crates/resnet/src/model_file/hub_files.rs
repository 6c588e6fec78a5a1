//! The files in a model's folder on the Hugging Face hub.

use std::path::Path;

use resnet_formats::{FormatError, FormatErrorKind, read_text};
use serde::de::DeserializeOwned;

use super::ModelFileError;

/// What is known about the model.
pub(super) const CONFIG: &str = "config.json";
/// The weights.
pub(super) const SAFETENSORS: &str = "model.safetensors";

/// Far more than any list of class names needs.
const MAX_BYTES: u64 = 16 << 20;

/// The text of a JSON file.
pub(super) fn text(path: &Path) -> Result<String, ModelFileError> {
    let read = read_text(path, MAX_BYTES).map_err(|error| FormatError {
        path: path.to_owned(),
        kind: FormatErrorKind::from_read(error),
    });
    Ok(read?)
}

/// A JSON file.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ModelFileError> {
    serde_json::from_str(text).map_err(|error| ModelFileError::FolderConfig {
        path: path.to_owned(),
        message: error.to_string(),
    })
}
