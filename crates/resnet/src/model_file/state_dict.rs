//! The contents of a safetensors file: a state dict, and for a checkpoint the optimiser's state.

use std::path::Path;

use resnet_formats::{NamedTensors, safetensors::Metadata, torch::Weights};
use resnet_network::optim::OptimizerConfig;
use serde::Deserialize;

use super::{
    Contents, FileFormat, ModelFileError, OptimizerState,
    contents::NO_OPTIMIZER,
    decimal::decimal,
    key,
    layout::{EMA, LOOKAHEAD, OPTIMIZER, STEP},
    metadata::entry,
};

/// The optimiser's settings in a recipe.
#[derive(Deserialize)]
struct OptimizerSettings {
    lr: f64,
    #[serde(flatten)]
    optimizer: OptimizerConfig,
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

/// The contents of a safetensors file, from its tensors and metadata. `weights` is the user's choice
/// of the weights of a run and their average.
pub(super) fn of_safetensors(
    path: &Path,
    tensors: NamedTensors,
    metadata: Metadata,
    weights: &Weights,
) -> Result<Contents, ModelFileError> {
    let mut tensors = tensors;
    let mut state = take(&mut tensors, OPTIMIZER);
    let is_own = metadata.contains_key(key::FORMAT_VERSION);
    let [ema, slow] = [EMA, LOOKAHEAD]
        .map(|prefix| if is_own { take(&mut tensors, prefix) } else { NamedTensors::new() });
    let recipe: Option<OptimizerSettings> = entry(path, &metadata, key::RECIPE)?;
    let optimizer = match (state.is_empty(), recipe) {
        (true, _) => Err(NO_OPTIMIZER.to_owned()),
        (false, None) => Err("it has no settings of its optimizer".to_owned()),
        (false, Some(recipe)) => {
            let metrics: Option<Vec<Epoch>> = entry(path, &metadata, key::METRICS)?;
            let last = metrics.iter().flatten().last().map(|m| decimal(m.learning_rate));
            let lr = last.unwrap_or(recipe.lr);
            let config = recipe.optimizer;
            let mut table = |name: &str| take(&mut state, &format!("{name}."));
            let buffers = config.buffers().iter().map(|name| table(name)).collect();
            Ok(OptimizerState { buffers, steps: table(STEP), lr, dampening: 0.0, config })
        }
    };
    let progress: Option<EpochCount> = entry(path, &metadata, key::PROGRESS)?;
    let epochs = progress.map(|progress| progress.epoch.saturating_sub(1));
    let contents = Contents { epochs, optimizer, ..Contents::new(FORMAT, tensors, metadata) };
    Ok(match (ema.is_empty(), weights) {
        (true, _) => Contents { average: Some(slow).filter(|slow| !slow.is_empty()), ..contents },
        (false, Weights::Model) => {
            Contents { average: Some(ema), key: Some("model".to_owned()), ..contents }
        }
        (false, _) => Contents {
            optimizer: Err(
                "the optimizer's state is of the weights, not of their average".to_owned()
            ),
            notes: match weights {
                Weights::Usual => vec![USES_AVERAGE.to_owned()],
                _ => Vec::new(),
            },
            key: Some("ema".to_owned()),
            tensors: ema,
            ..contents
        },
    })
}

const FORMAT: FileFormat = FileFormat::Safetensors;

const USES_AVERAGE: &str =
    "uses the average of its weights (--weights model chooses the weights themselves)";

/// Takes out the tensors whose names have a prefix, and removes it.
fn take(tensors: &mut NamedTensors, prefix: &str) -> NamedTensors {
    let all = std::mem::take(tensors).into_iter();
    let (mut found, rest): (NamedTensors, NamedTensors) =
        all.partition(|(name, _)| name.starts_with(prefix));
    found.iter_mut().for_each(|(name, _)| drop(name.drain(..prefix.len())));
    *tensors = rest;
    found
}
