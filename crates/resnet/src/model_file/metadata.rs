//! Metadata of model files: JSON under the keys of [`key`].

use std::path::Path;

use resnet_formats::{brief, safetensors::Metadata};
use serde::{Serialize, de::DeserializeOwned};

use super::{ModelFileError, key, layout::FORMAT_VERSION};

/// A value as a metadata entry.
pub(crate) fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("these types are always JSON")
}

/// Refuses files of later versions.
pub(crate) fn check_version(path: &Path, metadata: &Metadata) -> Result<(), ModelFileError> {
    match entry::<u32>(path, metadata, key::VERSION)? {
        Some(found) if found > FORMAT_VERSION => {
            Err(ModelFileError::Version { path: path.to_owned(), found })
        }
        _ => Ok(()),
    }
}

/// A JSON entry of the metadata.
pub(crate) fn entry<T: DeserializeOwned>(
    path: &Path,
    metadata: &Metadata,
    key: &'static str,
) -> Result<Option<T>, ModelFileError> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|e| {
            let message = format!("is damaged: {}", brief(&e.to_string()));
            ModelFileError::metadata(path, key, message)
        })
    };
    metadata.get(key).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_versions_are_refused() {
        let check = |version: &str| {
            let metadata = [("format_version".to_owned(), version.to_owned())].into();
            check_version(Path::new("x"), &metadata)
        };
        assert!(["0", "1", "2"].map(check).iter().all(Result::is_ok));
        assert!(check("3").unwrap_err().to_string().contains("format version 3"));
        assert!(check("two").unwrap_err().to_string().contains("format_version"));
    }
}
