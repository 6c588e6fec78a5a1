//! Reads model files of any format, which the first bytes show.

use std::{
    io::{self, Read},
    path::Path,
};

use resnet_formats::{FormatError, FormatErrorKind, Tensor, open, safetensors, torch};

use super::{
    Contents, FileFormat, ModelFileError, contents::NO_OPTIMIZER, key, onnx, pytorch::of_torch,
    state_dict::of_safetensors, timm,
};

impl Contents {
    /// Reads a model file, whose format its first bytes show, or a timm folder.
    ///
    /// # Errors
    /// If the file does not exist, is damaged, or has an unknown format.
    pub fn read(path: &Path) -> Result<Contents, ModelFileError> {
        if path.is_dir() {
            return timm::read(path);
        }
        match Magic::of(path)? {
            Magic::Safetensors => {
                let (tensors, metadata) = safetensors::read(path)?;
                of_safetensors(path, tensors, metadata)
            }
            Magic::Torch => Ok(of_torch(torch::read(path)?)),
            Magic::Onnx => of_onnx(path),
            Magic::Unknown(what) => Err(ModelFileError::UnknownFormat { path: path.into(), what }),
        }
    }
}

/// A format, by the first bytes of a file.
enum Magic {
    Safetensors,
    Torch,
    Onnx,
    Unknown(&'static str),
}

impl Magic {
    fn of(path: &Path) -> Result<Magic, FormatError> {
        let error = |kind| FormatError { path: path.to_owned(), kind };
        let read = || -> io::Result<Vec<u8>> {
            let mut start = Vec::new();
            open(path)?.take(9).read_to_end(&mut start)?;
            Ok(start)
        };
        let start = read().map_err(|e| error(FormatErrorKind::from_read(e)))?;
        Ok(match start[..] {
            // The header's length, and the header: a JSON object.
            [_, _, _, _, _, _, _, _, b'{'] => Magic::Safetensors,
            [b'P', b'K', ..] => Magic::Torch,
            // A pickle of protocol 2 or later.
            [0x80, ..] => Magic::Torch,
            // A protobuf message whose first field is the version.
            [0x08, ..] => Magic::Onnx,
            [] => Magic::Unknown("is empty"),
            _ => Magic::Unknown("has an unknown format"),
        })
    }
}

fn of_onnx(path: &Path) -> Result<Contents, ModelFileError> {
    let onnx::Import { state: mut tensors, mut metadata, notes, .. } = onnx::import(path)?;
    // Only training reads it: the format has no place for it.
    if let Some(count) = metadata.remove(key::BATCHES_TRACKED).and_then(|text| text.parse().ok()) {
        let norms = tensors.iter().filter_map(|(name, _)| name.strip_suffix("running_var"));
        let counts: Vec<_> = norms
            .map(|norm| (format!("{norm}num_batches_tracked"), Tensor::scalar_i64(count)))
            .collect();
        tensors.extend(counts);
    }
    let optimizer = Err(NO_OPTIMIZER.to_owned());
    Ok(Contents { format: FileFormat::Onnx, tensors, metadata, epochs: None, optimizer, notes })
}
