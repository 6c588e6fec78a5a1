//! Converts PyTorch files to contents, and metadata to their scalars.

use resnet_formats::{
    safetensors::Metadata,
    torch::{self, Scalar},
};

use super::{Contents, FileFormat, OptimizerState, contents::NO_OPTIMIZER, key, metadata::json};
use crate::models::infer_arch;

/// The contents of a PyTorch file.
pub(super) fn of_torch(file: torch::Checkpoint) -> Contents {
    let torch::Checkpoint { layout, model, optimizer, optimizer_note, scalars } = file;
    let mut metadata: Metadata = scalars.iter().filter_map(to_metadata).collect();
    if !metadata.contains_key(key::FORMAT_VERSION) {
        metadata.retain(|key, value| match key.as_str() {
            // Other programs have other names. One is used only to choose between ambiguous
            // architectures.
            key::ARCH => infer_arch(&model).is_ok_and(|found| {
                let named = value.parse().ok();
                named.is_some() && (named == Some(found.arch) || named == found.alternative)
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
        (Some(sgd), _) => OptimizerState::from_torch(sgd, &model),
        (None, Some(note)) => Err(format!("its optimizer is not read: {note}")),
        (None, None) => Err(NO_OPTIMIZER.to_owned()),
    };
    Contents {
        format: FileFormat::Torch(layout),
        tensors: model,
        metadata,
        epochs,
        optimizer,
        notes: Vec::new(),
    }
}

/// Key of the number of epochs in PyTorch files.
const EPOCH: &str = "epoch";

fn to_metadata((name, value): &(String, Scalar)) -> Option<(String, String)> {
    let value = match value {
        Scalar::Text(text) => text.clone(),
        Scalar::Int(number) => number.to_string(),
        Scalar::TextList(texts) => json(texts),
        Scalar::Float(_) | Scalar::Bool(_) => return None,
    };
    Some((name.clone(), value))
}

/// Metadata as Python values, and the number of epochs.
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
