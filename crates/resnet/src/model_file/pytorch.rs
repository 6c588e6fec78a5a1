//! Converts PyTorch files to contents, and metadata to their scalars.

use resnet_formats::{
    brief,
    safetensors::Metadata,
    torch::{self, Scalar, Weights},
};

use super::{Contents, FileFormat, OptimizerState, contents::NO_OPTIMIZER, key, metadata::json};

/// The contents of a PyTorch file. `weights` is the user's choice of several.
pub(super) fn of_torch(file: torch::Checkpoint, weights: &Weights) -> Contents {
    let torch::Checkpoint { layout, model, optimizer, optimizer_note, scalars, .. } = &file;
    let mut metadata: Metadata = scalars.iter().filter_map(to_metadata).collect();
    let mut notes = Vec::new();
    if !metadata.contains_key(key::VERSION) {
        // Other programs have other names for architectures: see `of_others`.
        metadata.retain(|key, _| key == key::ARCH);
        if let Some(classes) = class_names(scalars) {
            metadata.insert(key::CLASSES.to_owned(), json(classes));
        }
    }
    if let ([other, ..], Some(key), Weights::Usual) = (&file.other_keys[..], &file.key, weights) {
        notes.push(format!(
            "uses the average of its weights, '{}' (--weights model chooses '{}')",
            brief(key),
            brief(other)
        ));
    }
    let epochs = scalars.iter().find_map(|(name, value)| match value {
        Scalar::Int(epochs) if name == EPOCH => u64::try_from(*epochs).ok(),
        _ => None,
    });
    let optimizer = match (optimizer, optimizer_note) {
        (Some(optimizer), _) => OptimizerState::from_torch(optimizer.clone(), model),
        (None, Some(note)) => Err(format!("its optimizer is not read: {note}")),
        (None, None) => Err(NO_OPTIMIZER.to_owned()),
    };
    let format = FileFormat::Torch(*layout);
    Contents {
        epochs,
        optimizer,
        notes,
        key: file.key,
        modules: file.modules,
        ..Contents::new(format, file.model, metadata)
    }
}

/// Keys of class names in other programs' checkpoints, alone or in their settings.
const CLASS_NAMES: [&str; 11] = [
    "classes",
    "class_names",
    "class_to_idx",
    "idx_to_class",
    "id2label",
    "label2id",
    "label_names",
    "labels",
    "names",
    "categories",
    "CLASSES",
];

/// The class names of another program's checkpoint.
fn class_names(scalars: &[(String, Scalar)]) -> Option<&Vec<String>> {
    let under = |key: &str| {
        let is = |name: &str| name == key || name.rsplit('.').next() == Some(key);
        scalars.iter().find_map(|(name, value)| match value {
            Scalar::TextList(names) if is(name) => Some(names),
            _ => None,
        })
    };
    CLASS_NAMES.into_iter().find_map(under)
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
