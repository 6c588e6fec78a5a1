//! Reads model files of any format, which the first bytes show.

use std::{
    io::{self, Read},
    path::Path,
};

use resnet_formats::{
    FormatError, FormatErrorKind, Tensor, open, safetensors,
    torch::{self, Weights},
};

use super::{
    Contents, FileFormat, ModelFileError, folder, key,
    kind::{self, Kind},
    onnx,
    pytorch::of_torch,
    state_dict::of_safetensors,
};

impl Contents {
    /// Reads a model file, whose format its first bytes show, or a folder with a model.
    ///
    /// # Errors
    /// If the file does not exist, is damaged, or has an unknown format.
    pub(crate) fn read(path: &Path) -> Result<Contents, ModelFileError> {
        Contents::read_weights(path, &Weights::Usual)
    }

    /// Reads a model file, and of several models in it the chosen one.
    ///
    /// # Errors
    /// As [`Contents::read`], and if the file has no such weights.
    pub(crate) fn read_weights(path: &Path, weights: &Weights) -> Result<Contents, ModelFileError> {
        if path.is_dir() {
            return folder::read(path, weights);
        }
        let unknown = |Kind { what, remedy }| {
            Err(ModelFileError::UnknownFormat { path: path.into(), what, remedy })
        };
        match Magic::of(path)? {
            Magic::Safetensors => {
                let (tensors, metadata) = safetensors::read(path)?;
                of_safetensors(path, tensors, metadata, weights)
            }
            Magic::Torch => match torch::read_weights(path, weights) {
                Ok(file) => Ok(of_torch(file, weights)),
                Err(error) => match kind::of_not_torch(path, &error.kind) {
                    Some(kind) => unknown(kind),
                    None => Err(error.into()),
                },
            },
            Magic::Onnx => of_onnx(path),
            Magic::Other(kind) => unknown(kind),
        }
    }
}

/// A format, by the first bytes of a file.
enum Magic {
    Safetensors,
    Torch,
    Onnx,
    Other(Kind),
}

impl Magic {
    fn of(path: &Path) -> Result<Magic, FormatError> {
        let error = |kind| FormatError { path: path.to_owned(), kind };
        let read = || -> io::Result<Vec<u8>> {
            let mut start = Vec::new();
            open(path)?.take(kind::START).read_to_end(&mut start)?;
            Ok(start)
        };
        let start = read().map_err(|e| error(FormatErrorKind::from_read(e)))?;
        if let Some(kind) = kind::of_start(path, &start) {
            return Ok(Magic::Other(kind));
        }
        Ok(match start[..] {
            // The header's length, and the header: a JSON object.
            [_, _, _, _, _, _, _, _, b'{', ..] => Magic::Safetensors,
            [b'P', b'K', ..] => Magic::Torch,
            // A pickle of protocol 2 or later.
            [0x80, ..] => Magic::Torch,
            // A protobuf message whose first field is the version.
            [0x08, ..] => Magic::Onnx,
            _ => Magic::Other(Kind::UNKNOWN),
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
    Ok(Contents { notes, ..Contents::new(FileFormat::Onnx, tensors, metadata) })
}
