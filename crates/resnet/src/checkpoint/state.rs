//! Where a training run stands, and how that is saved and restored.

use std::path::Path;

use resnet_formats::safetensors::{self, Metadata};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    CheckpointError, FORMAT_VERSION, MOMENTUM, key,
    model::{check_version, entry, resolve_arch},
};
use crate::{
    config::TrainConfig,
    network::Network,
    optim::Sgd,
    recipe::Recipe,
    train::EpochMetrics,
};

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// Figures of every epoch that has ended.
    pub(crate) history: Vec<EpochMetrics>,
    /// The epoch under way.
    pub(crate) progress: Progress,
}

/// The epoch under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Steps done in the whole run.
    pub(crate) step: u64,
    /// The epoch, from 1.
    pub(crate) epoch: u64,
    /// Steps done in this epoch.
    pub(crate) batch: u64,
    /// Sum of the losses of its images so far.
    pub(crate) loss: f64,
    /// Of which so many were right.
    pub(crate) correct: u64,
    /// Images so far.
    pub(crate) images: u64,
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    /// Accuracy of `best`, percent.
    pub(crate) best_accuracy: Option<f64>,
}

impl State {
    /// The beginning of a run.
    pub(crate) fn new() -> State {
        State { history: Vec::new(), progress: Progress { epoch: 1, ..Progress::default() } }
    }

    /// The beginning of the epoch after this one.
    pub(crate) fn end_epoch(&mut self, metrics: EpochMetrics) {
        let Progress { step, epoch, best_accuracy, .. } = self.progress;
        self.history.push(metrics);
        self.progress = Progress { step, epoch: epoch + 1, best_accuracy, ..Progress::default() };
    }

    /// Writes a checkpoint.
    pub(crate) fn save(
        &self,
        path: &Path,
        config: &TrainConfig,
        network: &Network,
        optimizer: &Sgd,
    ) -> Result<(), CheckpointError> {
        let mut tensors = network.state_dict();
        let momentum = network.export(&optimizer.momentum_buffer);
        tensors.extend(momentum.into_iter().map(|(name, t)| (format!("{MOMENTUM}{name}"), t)));
        Ok(safetensors::write(path, &tensors, &self.metadata(config))?)
    }

    fn metadata(&self, config: &TrainConfig) -> Metadata {
        let data = &config.data;
        [
            (key::FORMAT_VERSION, json(&FORMAT_VERSION)),
            (key::ARCH, config.arch.to_string()),
            (key::CLASSES, json(&data.classes)),
            (key::IMAGE_SIZE, json(&data.image_size)),
            (key::NORMALISATION, json(&data.normalisation)),
            (key::RECIPE, json(&config.recipe)),
            (key::SEED, json(&config.seed)),
            (key::PROGRESS, json(&self.progress)),
            (key::METRICS, json(&self.history)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Reads a checkpoint of this run into its network and optimiser.
    pub(crate) fn load(
        path: &Path,
        config: &TrainConfig,
        network: &mut Network,
        optimizer: &mut Sgd,
    ) -> Result<State, CheckpointError> {
        let (tensors, metadata) = safetensors::read(path)?;
        let state = State::from_metadata(path, &metadata, config)?;
        let (momentum, tensors) = tensors.into_iter().partition(|(n, _)| n.starts_with(MOMENTUM));
        let mut momentum: resnet_formats::NamedTensors = momentum;
        momentum.iter_mut().for_each(|(name, _)| drop(name.drain(..MOMENTUM.len())));
        let error = CheckpointError::state_dict(path);
        network.load_state_dict(&tensors).map_err(&error)?;
        optimizer.momentum_buffer = network.import(&momentum).map_err(&error)?;
        Ok(state)
    }

    fn from_metadata(
        path: &Path,
        metadata: &Metadata,
        config: &TrainConfig,
    ) -> Result<State, CheckpointError> {
        check_version(path, metadata)?;
        resolve_arch(path, metadata, Some(config.arch))?;
        let differs = |what| Err(CheckpointError::OtherRun { path: path.to_owned(), what });
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
        let (first, last) = config.steps_of_epoch(progress.epoch);
        let consistent = progress.epoch.checked_sub(1) == Some(history.len() as u64)
            && first.checked_add(progress.batch) == Some(progress.step)
            && progress.step <= last;
        if !consistent {
            let message = "does not fit the run: the file is damaged, or config.toml was changed";
            return Err(CheckpointError::metadata(path, key::PROGRESS, message));
        }
        Ok(State { history, progress })
    }
}

fn need<T: DeserializeOwned>(
    path: &Path,
    metadata: &Metadata,
    key: &'static str,
) -> Result<T, CheckpointError> {
    let missing = "is missing: this is no checkpoint of a training run";
    entry(path, metadata, key)?.ok_or_else(|| CheckpointError::metadata(path, key, missing))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::sample;

    fn metrics(epoch: u64) -> EpochMetrics {
        EpochMetrics {
            epoch,
            step: 3 * epoch,
            train_loss: 1.0 / 3.0,
            train_accuracy: 100.0 / 7.0,
            test_loss: 0.1 + 0.2,
            test_accuracy: 50.0,
            held_out_loss: Some(1e-300),
            held_out_accuracy: Some(0.0),
            learning_rate: 0.1,
            seconds: 1.5,
            images_per_second: 20.0 / 3.0,
        }
    }

    /// One batch into the second epoch of the sample, whose epochs have three.
    fn state() -> State {
        let mut state = State::new();
        state.progress.step = 3;
        state.progress.best_accuracy = Some(0.1 + 0.7);
        state.end_epoch(metrics(1));
        state.progress.step = 4;
        state.progress.batch = 1;
        state.progress.loss = 0.1 * 3.0;
        state.progress.seconds = 1.0 / 3.0;
        state
    }

    fn read(metadata: &Metadata, config: &TrainConfig) -> Result<State, CheckpointError> {
        State::from_metadata(Path::new("last.safetensors"), metadata, config)
    }

    #[test]
    fn a_state_survives_its_metadata_to_the_bit() {
        let config = sample();
        for state in [State::new(), state()] {
            assert_eq!(read(&state.metadata(&config), &config).unwrap(), state);
        }
        let mut random = crate::random::Random::new(0, crate::random::Purpose::Init, &[]);
        let mut state = state();
        for _ in 0..10_000 {
            state.progress.loss = f64::from_bits(random.next_u64() >> 2);
            assert_eq!(read(&state.metadata(&config), &config).unwrap(), state);
        }
    }

    #[test]
    fn the_epoch_that_ended_is_in_the_history() {
        let State { history, progress } = state();
        assert_eq!(history, [metrics(1)]);
        assert_eq!((progress.epoch, progress.best_accuracy), (2, Some(0.1 + 0.7)));
    }

    #[test]
    fn another_run_is_refused() {
        let config = sample();
        let refused = |change: &dyn Fn(&mut TrainConfig)| {
            let mut other = sample();
            change(&mut other);
            read(&state().metadata(&config), &other).unwrap_err().to_string()
        };
        let arch = refused(&|c| c.arch = "resnet20".parse().unwrap());
        assert!(arch.contains("holds resnet8, not resnet20"), "{arch}");
        assert!(refused(&|c| c.seed += 1).contains("seed"));
        assert!(refused(&|c| c.recipe.lr *= 2.0).contains("recipe"));
        assert!(refused(&|c| c.data.classes.push("x".into())).contains("classes"));
        assert!(refused(&|c| c.data.train_images = 20).contains("progress"));
        assert!(refused(&|c| c.total_steps = 3).contains("progress"));
    }

    #[test]
    fn what_is_missing_or_impossible_is_named() {
        let config = sample();
        for key in [key::CLASSES, key::SEED, key::RECIPE, key::PROGRESS, key::METRICS] {
            let mut metadata = state().metadata(&config);
            metadata.remove(key);
            let error = read(&metadata, &config).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("missing"), "{error}");
            metadata.insert(key.into(), "{".into());
            let error = read(&metadata, &config).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("damaged"), "{error}");
        }
        for (step, epoch, batch) in [(4, 0, 1), (4, 3, 1), (4, 2, 2), (9, 2, 6), (2, 2, u64::MAX)] {
            let mut state = state();
            (state.progress.step, state.progress.epoch, state.progress.batch) = (step, epoch, batch);
            let error = read(&state.metadata(&config), &config).unwrap_err().to_string();
            assert!(error.contains("progress"), "{step} {epoch} {batch}: {error}");
        }
    }
}
