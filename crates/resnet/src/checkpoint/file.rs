//! What a file holds, whatever its form.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use resnet_formats::{
    FormatError, FormatErrorKind, NamedTensors, Tensor,
    safetensors::{self, Metadata},
    torch::{self, Scalar},
};

use super::{CheckpointError, MOMENTUM, Optimizer, key, model::entry, optimizer::decimal, timm};
use crate::{
    metrics::{EpochMetrics, Progress},
    models::recognise,
    onnx,
    recipe::Recipe,
};

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A safetensors file.
    Safetensors,
    /// A PyTorch file that holds a model so.
    Torch(torch::Form),
    /// An ONNX file.
    Onnx,
    /// A folder as timm and the Hugging Face hub have it.
    Timm,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Safetensors => "safetensors",
            Form::Torch(torch::Form::StateDict) => "PyTorch state dict",
            Form::Torch(torch::Form::Checkpoint) => "PyTorch checkpoint",
            Form::Torch(torch::Form::Module) => "whole PyTorch module",
            Form::Onnx => "ONNX",
            Form::Timm => "timm folder",
        })
    }
}

/// A model's tensors, and what is beside them.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The form of the file.
    pub form: Form,
    /// The state dict of the model, with names as they are in the file.
    pub tensors: NamedTensors,
    /// What the file says by the keys of [`key`]; of others only what can be relied on.
    pub metadata: Metadata,
    /// Epochs that the model was trained, as far as the file says.
    pub epochs: Option<u64>,
    /// The optimiser, if there is one; or else why not.
    pub optimizer: Result<Optimizer, String>,
}

impl Contents {
    /// Reads a file, whose form is told from its first bytes, or a folder of timm's.
    ///
    /// # Errors
    /// If there is no such file, it is damaged, or of no form that is read.
    pub fn read(path: &Path) -> Result<Contents, CheckpointError> {
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
            Magic::Unknown(what) => Err(CheckpointError::UnknownForm { path: path.into(), what }),
        }
    }
}

/// What a file is by its first bytes.
enum Magic {
    Safetensors,
    Torch,
    Onnx,
    Unknown(&'static str),
}

impl Magic {
    fn of(path: &Path) -> Result<Magic, FormatError> {
        let error = |kind| FormatError { path: path.to_owned(), kind };
        let read = || -> io::Result<Option<Vec<u8>>> {
            // A pipe or a device may never open, or never end.
            if !std::fs::metadata(path)?.is_file() {
                return Ok(None);
            }
            let mut start = Vec::new();
            File::open(path)?.take(9).read_to_end(&mut start)?;
            Ok(Some(start))
        };
        let start = read().map_err(|e| error(FormatErrorKind::Read(e)))?;
        let start = start.ok_or_else(|| error(FormatErrorKind::NotAFile))?;
        Ok(match start[..] {
            // The header's length, and the header: a JSON object.
            [_, _, _, _, _, _, _, _, b'{'] => Magic::Safetensors,
            [b'P', b'K', ..] => Magic::Torch,
            // A pickle of protocol 2 or later.
            [0x80, ..] => Magic::Torch,
            // A message whose first field is the version of the format.
            [0x08, ..] => Magic::Onnx,
            [] => Magic::Unknown("is empty"),
            _ => Magic::Unknown("is of no form that is read"),
        })
    }
}

/// What a safetensors file holds, by its parts.
pub(super) fn of_safetensors(
    path: &Path,
    tensors: NamedTensors,
    metadata: Metadata,
) -> Result<Contents, CheckpointError> {
    let (mut momentum, tensors): (NamedTensors, NamedTensors) =
        tensors.into_iter().partition(|(name, _)| name.starts_with(MOMENTUM));
    momentum.iter_mut().for_each(|(name, _)| drop(name.drain(..MOMENTUM.len())));
    let recipe: Option<Recipe> = entry(path, &metadata, key::RECIPE)?;
    let optimizer = match (momentum.is_empty(), recipe) {
        (true, _) => Err(NO_OPTIMIZER.to_owned()),
        (false, None) => Err("it does not say how its optimizer was set".to_owned()),
        (false, Some(recipe)) => {
            let metrics: Option<Vec<EpochMetrics>> = entry(path, &metadata, key::METRICS)?;
            let last = metrics.iter().flatten().last().map(|m| decimal(m.learning_rate));
            let lr = last.unwrap_or(recipe.lr);
            Ok(Optimizer { momentum, lr, dampening: 0.0, config: recipe.sgd })
        }
    };
    let progress: Option<Progress> = entry(path, &metadata, key::PROGRESS)?;
    let epochs = progress.map(|progress| progress.epoch.saturating_sub(1));
    Ok(Contents { form: Form::Safetensors, tensors, metadata, epochs, optimizer })
}

fn of_torch(file: torch::Checkpoint) -> Contents {
    let torch::Checkpoint { form, model, optimizer, optimizer_note, scalars } = file;
    let mut metadata: Metadata = scalars.iter().filter_map(to_metadata).collect();
    if !metadata.contains_key(key::FORMAT_VERSION) {
        metadata.retain(|key, value| match key.as_str() {
            // Others have other names for other nets; it can only decide between twins.
            key::ARCH => recognise(&model).is_ok_and(|found| {
                let named = value.parse().ok();
                named.is_some() && (named == Some(found.arch) || named == found.twin)
            }),
            key::CLASSES => value.starts_with('['),
            _ => false,
        });
    }
    let epochs = scalars.iter().find_map(|(name, value)| match value {
        Scalar::Int(epochs) if name == EPOCH => u64::try_from(*epochs).ok(),
        _ => None,
    });
    let optimizer = match (optimizer, optimizer_note) {
        (Some(sgd), _) => Optimizer::from_torch(sgd, &model),
        (None, Some(note)) => Err(format!("its optimizer is not read: {note}")),
        (None, None) => Err(NO_OPTIMIZER.to_owned()),
    };
    Contents { form: Form::Torch(form), tensors: model, metadata, epochs, optimizer }
}

pub(super) const NO_OPTIMIZER: &str = "it holds no optimizer";

/// Key of the epochs done in PyTorch files.
const EPOCH: &str = "epoch";

fn to_metadata((name, value): &(String, Scalar)) -> Option<(String, String)> {
    let value = match value {
        Scalar::Text(text) => text.clone(),
        Scalar::Int(number) => number.to_string(),
        Scalar::TextList(texts) => super::json(texts),
        Scalar::Float(_) | Scalar::Bool(_) => return None,
    };
    Some((name.clone(), value))
}

/// Metadata as values that Python users find handy; and the epochs done.
pub(super) fn to_scalars(metadata: &Metadata, epochs: Option<u64>) -> Vec<(String, Scalar)> {
    let scalar = |(key, value): (&String, &String)| {
        let scalar = match key.as_str() {
            key::CLASSES => serde_json::from_str(value).ok().map(Scalar::TextList),
            _ => value.parse().ok().map(Scalar::Int),
        };
        (key.clone(), scalar.unwrap_or_else(|| Scalar::Text(value.clone())))
    };
    let epochs = epochs.and_then(|epochs| i64::try_from(epochs).ok());
    let epochs = epochs.map(|epochs| (EPOCH.to_owned(), Scalar::Int(epochs)));
    metadata.iter().map(scalar).chain(epochs).collect()
}

fn of_onnx(path: &Path) -> Result<Contents, CheckpointError> {
    let (mut tensors, mut metadata) = onnx::import(path)?;
    // Only training reads it: the format has no place for it.
    if let Some(count) = metadata.remove(key::BATCHES_TRACKED).and_then(|text| text.parse().ok()) {
        let norms = tensors.iter().filter_map(|(name, _)| name.strip_suffix("running_var"));
        let counts: Vec<_> = norms
            .map(|norm| (format!("{norm}num_batches_tracked"), Tensor::scalar_i64(count)))
            .collect();
        tensors.extend(counts);
    }
    let optimizer = Err(NO_OPTIMIZER.to_owned());
    Ok(Contents { form: Form::Onnx, tensors, metadata, epochs: None, optimizer })
}
