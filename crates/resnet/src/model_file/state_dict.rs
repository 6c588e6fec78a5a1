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
    let is_own = metadata.contains_key(key::VERSION);
    let [ema, slow] = [EMA, LOOKAHEAD]
        .map(|prefix| if is_own { take(&mut tensors, prefix) } else { NamedTensors::new() });
    // Other programs mean other things by these keys.
    let none = Metadata::new();
    let run = if is_own { &metadata } else { &none };
    let recipe: Option<OptimizerSettings> = entry(path, run, key::RECIPE)?;
    let optimizer = match (state.is_empty(), recipe) {
        (true, _) => Err(NO_OPTIMIZER.to_owned()),
        (false, None) => Err("it has no settings of its optimizer".to_owned()),
        (false, Some(recipe)) => {
            let metrics: Option<Vec<Epoch>> = entry(path, run, key::METRICS)?;
            let last = metrics.iter().flatten().last().map(|m| decimal(m.learning_rate));
            let lr = last.unwrap_or(recipe.lr);
            let config = recipe.optimizer;
            let mut table = |name: &str| take(&mut state, &format!("{name}."));
            let buffers = config.buffers().iter().map(|name| table(name)).collect();
            Ok(OptimizerState { buffers, steps: table(STEP), lr, dampening: 0.0, config })
        }
    };
    let progress: Option<EpochCount> = entry(path, run, key::PROGRESS)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model_file::Model,
        models::Arch,
        network::{Init, Network},
    };

    fn load(arch: &str, entries: &[(&str, &str)]) -> Result<Model, ModelFileError> {
        let arch: Arch = arch.parse().unwrap();
        let tensors = Network::new(arch.graph_with(3, 5, 2), Init::PyTorch, 0).state_dict();
        let metadata = entries.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let path = Path::new("x");
        let contents = of_safetensors(path, tensors, metadata, &Weights::Usual)?;
        Model::from_contents(path, contents, &None.into())
    }

    #[test]
    fn other_programs_mean_other_things_by_their_metadata() {
        for (key, value, is_noted) in [
            ("arch", "resnet18", false),
            ("arch", "ResNet18", false),
            ("recipe", "a1", false),
            ("metrics", "{}", false),
            ("progress", "done", false),
            ("seed", "x", false),
            ("classes", "cat,dog", true),
            ("image_size", "[224, 224]", true),
            ("image_size", "0", true),
            ("resize", "256.0", true),
            ("interpolation", "bicubic", true),
            ("crop_mode", "1", true),
            ("normalisation", "imagenet", true),
            ("classes", r#"["cat","dog"]"#, true),
        ] {
            let model = load("resnet18-cifar", &[("format", "pt"), (key, value)]).unwrap();
            assert_eq!((model.arch.to_string(), model.classes), ("resnet18-cifar".into(), None));
            assert!(model.run.is_empty(), "{key}");
            let (inferred, others): (Vec<_>, Vec<_>) =
                model.notes.iter().partition(|note| note.contains("inferred resnet18-cifar"));
            assert_eq!(inferred.len(), 1, "{key}");
            assert_eq!(others.len(), usize::from(is_noted), "{key}: {others:?}");
            let named = format!("'{key}'");
            assert!(others.iter().all(|n| n.contains(&named) || n.contains("2 class names")));
            // In this program's files they are damage; without an optimizer's state, metrics are not read.
            let own = load("resnet18-cifar", &[("format_version", "1"), (key, value)]);
            assert!(matches!(key, "seed" | "metrics") || own.is_err(), "{key}");
        }
    }

    #[test]
    fn what_other_programs_state_in_this_format_is_read() {
        let names = r#"["a","b","c","d","e"]"#;
        let model = load("plain20", &[("arch", "plain20"), ("classes", names)]).unwrap();
        assert_eq!((model.arch.to_string(), model.notes), ("plain20".into(), vec![]));
        assert_eq!(model.classes.unwrap()[4], "e");
        // Options do not show in tensors.
        for arch in ["resnet18+nopool", "resnet50+stride1x1", "resnet18-cifar+eps0.001"] {
            let model = load(arch, &[("arch", arch)]).unwrap();
            assert_eq!((model.arch.to_string(), model.notes), (arch.into(), vec![]));
        }
    }
}
