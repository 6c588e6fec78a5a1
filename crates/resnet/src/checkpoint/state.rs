//! Writes and reads the state of a training run.

use std::{io, path::Path};

use resnet_formats::{
    NamedTensors,
    safetensors::{self, Metadata},
};
use serde::de::DeserializeOwned;

use super::CheckpointError;
use crate::{
    config::TrainConfig,
    metrics::{EpochMetrics, Progress, State},
    model_file::{
        Contents, EMA, LOOKAHEAD, Model, ModelFileError, OPTIMIZER, OptimizerState, STEP, Weights,
        check_version, decimal, entry, json, key, named_arch, version,
    },
    network::Network,
    optim::OptimizerBuffers,
    recipe::Recipe,
};

/// What an engine holds.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) network: &'a Network,
    pub(crate) buffers: &'a OptimizerBuffers,
    pub(crate) average: Option<&'a Network>,
}

/// Writes a checkpoint of a run on a device of this name.
pub(crate) fn save(
    path: &Path,
    config: &TrainConfig,
    Stored { network, buffers, average }: Stored<'_>,
    state: &State,
    device: &str,
) -> io::Result<()> {
    let mut tensors = network.state_dict();
    let mut add = |prefix: &str, more: NamedTensors| {
        tensors.extend(more.into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)));
    };
    for (name, values) in config.recipe.optimizer.buffers().iter().zip(&buffers.values) {
        add(&format!("{OPTIMIZER}{name}."), network.export(values));
    }
    add(&format!("{OPTIMIZER}{STEP}."), network.export_counts(&buffers.steps));
    if let (Some(kind), Some(average)) = (config.recipe.average, average) {
        add(if kind.is_ema() { EMA } else { LOOKAHEAD }, average.state_dict());
    }
    safetensors::write(path, &tensors, &metadata(state, config, device))
}

/// The model that a run's PyTorch files are written from. Training can resume from them here and in
/// PyTorch.
pub(crate) fn torch_model(
    config: &TrainConfig,
    network: &Network,
    buffers: &OptimizerBuffers,
    state: &State,
    device: &str,
) -> Model {
    let data = &config.data;
    let last_step = state.progress.step.saturating_sub(1);
    Model {
        classes: Some(data.classes.clone()),
        image_size: data.image_size,
        resize: data.photos.as_ref().map(|photos| photos.resize),
        normalisation: Some(data.normalisation.clone()),
        epochs: Some(state.progress.epoch.saturating_sub(1)),
        optimizer: Ok(OptimizerState::new(
            network,
            buffers,
            decimal(config.lr_at(last_step)),
            config.recipe.optimizer,
        )),
        run: metadata(state, config, device),
        ..Model::new(config.arch, network.clone())
    }
}

fn metadata(state: &State, config: &TrainConfig, device: &str) -> Metadata {
    let data = &config.data;
    let resize = data.photos.as_ref().map(|photos| (key::RESIZE, json(&photos.resize)));
    [
        (key::VERSION, json(&version(Some(&data.normalisation)))),
        (key::ARCH, config.arch.to_string()),
        (key::CLASSES, json(&data.classes)),
        (key::IMAGE_SIZE, json(&data.image_size)),
        (key::NORMALISATION, json(&data.normalisation)),
        (key::RECIPE, json(&config.recipe)),
        (key::SEED, json(&config.seed)),
        (key::ISA, device.to_owned()),
        (key::PROGRESS, json(&state.progress)),
        (key::METRICS, json(&state.history)),
    ]
    .into_iter()
    .chain(resize)
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The contents of a checkpoint, without the network.
pub(crate) struct Restored {
    /// What the optimiser keeps.
    pub(crate) buffers: OptimizerBuffers,
    /// The average of the weights, if the run has one.
    pub(crate) average: Option<Network>,
    /// The state of the run.
    pub(crate) state: State,
    /// The instruction set or the GPU that it was trained with, if the file names it.
    pub(crate) device: Option<String>,
}

/// Reads a checkpoint of a run into its network, which is unchanged on an error.
pub(crate) fn load(
    path: &Path,
    config: &TrainConfig,
    network: &mut Network,
) -> Result<Restored, CheckpointError> {
    let Contents { tensors, metadata, optimizer: stored, average: stored_average, .. } =
        Contents::read_weights(path, &Weights::Model)?;
    let state = from_metadata(path, &metadata, config)?;
    let error = ModelFileError::state_dict(path);
    let buffers = config.recipe.optimizer.buffers();
    let is_of_run = |held: &OptimizerState| !held.is_empty() && held.config.buffers() == buffers;
    let Some(held) = stored.ok().filter(is_of_run) else {
        return Err(CheckpointError::NoOptimizer { path: path.to_owned() });
    };
    let buffers = held.of_network(network).map_err(&error)?;
    let mut average = None;
    if config.recipe.average.is_some() {
        let Some(tensors) = stored_average else {
            return Err(CheckpointError::NoAverage { path: path.to_owned() });
        };
        let mut network = network.clone();
        network.load_state_dict(&tensors).map_err(&error)?;
        average = Some(network);
    }
    network.load_state_dict(&tensors).map_err(&error)?;
    Ok(Restored { buffers, average, state, device: metadata.get(key::ISA).cloned() })
}

/// Reads the state of a run from its checkpoint.
pub(crate) fn state(path: &Path, config: &TrainConfig) -> Result<State, CheckpointError> {
    from_metadata(path, &Contents::read(path)?.metadata, config)
}

/// How far a checkpoint says that its run was, unchecked; none if it cannot be read.
pub(crate) fn progress(path: &Path) -> Option<Progress> {
    let metadata = Contents::read(path).ok()?.metadata;
    need(path, &metadata, key::PROGRESS).ok()
}

fn from_metadata(
    path: &Path,
    metadata: &Metadata,
    config: &TrainConfig,
) -> Result<State, CheckpointError> {
    check_version(path, metadata)?;
    let differs = |what| Err(CheckpointError::OtherRun { path: path.to_owned(), what });
    if named_arch(path, metadata)?.is_some_and(|arch| arch != config.arch) {
        return differs("architecture");
    }
    if need::<Vec<String>>(path, metadata, key::CLASSES)? != config.data.classes {
        return differs("list of classes");
    }
    if need::<u64>(path, metadata, key::SEED)? != config.seed {
        return differs("seed");
    }
    if need::<Recipe>(path, metadata, key::RECIPE)? != config.recipe {
        return differs("recipe");
    }
    let progress: Progress = need(path, metadata, key::PROGRESS)?;
    let history: Vec<EpochMetrics> = need(path, metadata, key::METRICS)?;
    if !is_of_run(&progress, &history, config) {
        let message = "does not fit the run: the file is damaged, or config.toml was changed";
        return Err(ModelFileError::metadata(path, key::PROGRESS, message).into());
    }
    Ok(State { history, progress })
}

/// Whether a run of this configuration can have this state. Every number is checked.
fn is_of_run(progress: &Progress, history: &[EpochMetrics], config: &TrainConfig) -> bool {
    let Progress { step, epoch, batch, images, loss, correct, seconds, waited } = *progress;
    let (first, last) = config.steps_of_epoch(epoch);
    let epochs = history.iter().map(|metrics| metrics.epoch);
    let first_epoch = config.first_epoch();
    let batch_size = config.recipe.batch_size as u64;
    // Photos that cannot be used are missing in their batches.
    let all = batch.saturating_mul(batch_size).min(config.data.train_images as u64);
    let sum = |x: f64| x.is_finite() && x >= 0.0;
    epoch >= first_epoch
        && epochs.eq(first_epoch..epoch)
        && first.checked_add(batch) == Some(step)
        && step <= last
        && (images == all || config.data.photos.is_some() && images < all)
        && correct <= images
        && sum(loss)
        && sum(seconds)
        && sum(waited)
}

fn need<T: DeserializeOwned>(
    path: &Path,
    metadata: &Metadata,
    key: &'static str,
) -> Result<T, ModelFileError> {
    let missing = "is missing: this is not a checkpoint of a training run";
    entry(path, metadata, key)?.ok_or_else(|| ModelFileError::metadata(path, key, missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::tests::sample,
        metrics::tests::sample as state,
        random::{Purpose, Random},
    };

    fn read(metadata: &Metadata, config: &TrainConfig) -> Result<State, CheckpointError> {
        from_metadata(Path::new("last.safetensors"), metadata, config)
    }

    #[test]
    fn a_state_round_trips_bit_exactly() {
        let config = sample();
        for state in [State::new(1, 0), state()] {
            assert_eq!(read(&metadata(&state, &config, "avx2"), &config).unwrap(), state);
        }
        let mut random = Random::new(0, Purpose::Init, &[]);
        let mut state = state();
        for _ in 0..10_000 {
            state.progress.loss = f64::from_bits(random.next_u64() >> 2);
            assert_eq!(read(&metadata(&state, &config, "avx2"), &config).unwrap(), state);
        }
    }

    #[test]
    fn another_run_is_refused() {
        let config = sample();
        let refused = |change: &dyn Fn(&mut TrainConfig)| {
            let mut other = sample();
            change(&mut other);
            read(&metadata(&state(), &config, "avx2"), &other).unwrap_err().to_string()
        };
        let arch = refused(&|c| c.arch = "resnet20".parse().unwrap());
        assert!(arch.contains("its architecture differs"), "{arch}");
        assert!(arch.contains("--init last.safetensors"), "{arch}");
        assert!(refused(&|c| c.seed += 1).contains("seed"));
        assert!(refused(&|c| c.recipe.lr *= 2.0).contains("recipe"));
        assert!(refused(&|c| c.data.classes.push("x".into())).contains("classes"));
        assert!(refused(&|c| c.data.train_images = 20).contains("progress"));
        assert!(refused(&|c| c.total_steps = 3).contains("progress"));
    }

    #[test]
    fn missing_and_impossible_entries_are_named() {
        let config = sample();
        for key in [key::CLASSES, key::SEED, key::RECIPE, key::PROGRESS, key::METRICS] {
            let mut metadata = metadata(&state(), &config, "avx2");
            metadata.remove(key);
            let error = read(&metadata, &config).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("missing"), "{error}");
            metadata.insert(key.into(), "{".into());
            let error = read(&metadata, &config).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("damaged"), "{error}");
        }
        let mut refused: Vec<State> = Vec::new();
        for (step, epoch, batch) in [(4, 0, 1), (4, 3, 1), (4, 2, 2), (9, 2, 6), (2, 2, u64::MAX)] {
            let mut state = state();
            let p = &mut state.progress;
            (p.step, p.epoch, p.batch) = (step, epoch, batch);
            refused.push(state);
        }
        let hostile: [fn(&mut Progress); 7] = [
            |p| p.images = u64::MAX,
            |p| p.images = 3,
            |p| p.correct = u64::MAX,
            |p| p.correct = 5,
            |p| p.loss = -1.0,
            |p| p.seconds = -1.0,
            |p| p.epoch = u64::MAX,
        ];
        for change in hostile {
            let mut state = state();
            change(&mut state.progress);
            refused.push(state);
        }
        let mut other_epoch = state();
        other_epoch.history[0].epoch = 7;
        refused.push(other_epoch);
        refused.push(State { history: vec![], progress: Progress::default() });
        for state in refused {
            let error = read(&metadata(&state, &config, "avx2"), &config).unwrap_err().to_string();
            assert!(error.contains("progress"), "{state:?}: {error}");
        }
    }
}
