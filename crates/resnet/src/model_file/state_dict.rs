//! The contents of a safetensors file: a state dict, and for a checkpoint the optimiser's state.

use std::path::Path;

use resnet_formats::{NamedTensors, safetensors::Metadata};
use resnet_network::optim::SgdConfig;
use serde::Deserialize;

use super::{
    Contents, FileFormat, ModelFileError, OptimizerState, contents::NO_OPTIMIZER, key,
    layout::MOMENTUM, metadata::entry, optimizer_state::decimal,
};

/// The optimiser's settings in a recipe.
#[derive(Deserialize)]
struct OptimizerSettings {
    lr: f64,
    sgd: SgdConfig,
}

/// The optimiser's part of an epoch's metrics.
#[derive(Deserialize)]
struct Epoch {
    learning_rate: f32,
}

/// The progress of training.
#[derive(Deserialize)]
struct EpochCount {
    /// From 1.
    epoch: u64,
}

/// The contents of a safetensors file, from its tensors and metadata.
pub(super) fn of_safetensors(
    path: &Path,
    tensors: NamedTensors,
    metadata: Metadata,
) -> Result<Contents, ModelFileError> {
    let (mut momentum, tensors): (NamedTensors, NamedTensors) =
        tensors.into_iter().partition(|(name, _)| name.starts_with(MOMENTUM));
    momentum.iter_mut().for_each(|(name, _)| drop(name.drain(..MOMENTUM.len())));
    let recipe: Option<OptimizerSettings> = entry(path, &metadata, key::RECIPE)?;
    let optimizer = match (momentum.is_empty(), recipe) {
        (true, _) => Err(NO_OPTIMIZER.to_owned()),
        (false, None) => Err("it has no settings of its optimizer".to_owned()),
        (false, Some(recipe)) => {
            let metrics: Option<Vec<Epoch>> = entry(path, &metadata, key::METRICS)?;
            let last = metrics.iter().flatten().last().map(|m| decimal(m.learning_rate));
            let lr = last.unwrap_or(recipe.lr);
            Ok(OptimizerState { momentum, lr, dampening: 0.0, config: recipe.sgd })
        }
    };
    let progress: Option<EpochCount> = entry(path, &metadata, key::PROGRESS)?;
    let epochs = progress.map(|progress| progress.epoch.saturating_sub(1));
    Ok(Contents { epochs, optimizer, ..Contents::new(FileFormat::Safetensors, tensors, metadata) })
}
