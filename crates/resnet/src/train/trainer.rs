//! The trainer: engine and data of a run.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    Event, Machine, Started, StopFlag, TrainError,
    initial_weights::{InitialWeights, random_network},
    whitening::whiten,
};
use crate::{
    Cpu,
    checkpoint::{self, CheckpointError, Restored},
    config::{DataConfig, TrainConfig},
    data::{Batch, Dataset, Epoch, Images, Loader},
    engine::{Engine, EngineConfig, Input, MicroBatch, PlanError, StepResult, Targets},
    evaluate::{self, Accumulator},
    graph::NodeId,
    metrics::{Progress, State},
    model_file::{Model, SaveFormat},
};

/// A network in training, with its data.
pub(super) struct Trainer<'a> {
    config: &'a TrainConfig,
    cpu: &'a Cpu,
    engine: Engine,
    loader: Loader,
    validation: Images,
    test: Images,
    /// Messages about the initial weights.
    notes: Vec<String>,
    plan: Planned,
}

/// What the engine's steps are planned for.
#[derive(Debug, PartialEq, Eq)]
struct Planned {
    height: usize,
    width: usize,
    /// Nodes whose parameters stay as they are.
    frozen: Vec<NodeId>,
}

/// The evaluation after an epoch.
#[derive(Clone, Debug)]
pub(crate) struct Evaluated {
    /// On the test set.
    pub(crate) test: Accumulator,
    /// On the validation set, if there is one.
    pub(crate) validation: Option<Accumulator>,
}

impl Evaluated {
    pub(super) fn is_finite(&self) -> bool {
        let validation = self.validation.as_ref().map_or(0.0, Accumulator::loss);
        self.test.loss().is_finite() && validation.is_finite()
    }
}

impl<'a> Trainer<'a> {
    /// A trainer at step 0, with the weights of a file or random ones.
    pub(super) fn new(
        config: &'a TrainConfig,
        data: Dataset,
        cpu: &'a Cpu,
        init: Option<&Path>,
    ) -> Result<Self, TrainError> {
        let Dataset { classes, mut train, test, .. } = data;
        let validation = match config.data.validation {
            0 => Images { pixels: vec![], labels: vec![], ..train },
            images => train.random_split(images, config.seed)?,
        };
        check_data(config, &classes, &train, &test, &validation)?;

        let graph = config.arch.graph_with(train.channels, classes.len(), config.arch.width());
        let size = config.data.image_size;
        let batch = config.recipe.batch_size.min(train.len());
        let engine_config = EngineConfig {
            dtype: config.recipe.dtype,
            batch,
            eval_batch: evaluate::BATCH.min(test.len().max(validation.len())),
            height: size,
            width: size,
            sgd: config.recipe.sgd,
            batch_norm_momentum: config.recipe.batch_norm_momentum,
            average: config.recipe.average,
        };
        Engine::check(&graph, &engine_config, cpu)?;
        let InitialWeights { network, momentum, notes } = match init {
            Some(file) => InitialWeights::from_file(file, config, graph)?,
            None => InitialWeights::new(random_network(graph, config)),
        };
        let mut engine = Engine::new(network, &engine_config, cpu)?;
        if let Some(momentum) = momentum {
            engine.load(engine.store().0.clone(), momentum);
        }
        Ok(Trainer {
            engine,
            loader: Loader::new(Arc::new(train), batch, config.recipe.augment, config.seed)
                .with_mean(&config.data.normalisation),
            config,
            cpu,
            validation,
            test,
            notes,
            plan: Planned { height: size, width: size, frozen: Vec::new() },
        })
    }

    /// Whitens the first convolution, if the recipe asks for it.
    pub(super) fn whiten(&mut self) {
        let Some(settings) = self.config.recipe.whiten else { return };
        let mut network = self.engine.store().0.clone();
        let normalisation = &self.config.data.normalisation;
        whiten(&mut network, self.loader.images(), normalisation, settings);
        let momentum = vec![0.0; network.values().len()];
        self.engine.load(network, momentum);
    }

    /// Loads network and optimiser from a checkpoint of the run. Returns the run's state, and the
    /// instruction set that it was trained with.
    pub(super) fn restore(
        &mut self,
        file: &Path,
    ) -> Result<(State, Option<String>), CheckpointError> {
        let mut network = self.engine.store().0.clone();
        let Restored { momentum, average, state, isa } =
            checkpoint::load(file, self.config, &mut network)?;
        self.engine.load(network, momentum);
        if let Some(average) = average {
            self.engine.load_average(average);
        }
        Ok((state, isa))
    }

    /// The remaining batches of the current epoch, in the image sizes of its steps.
    pub(super) fn batches(&self, state: &State) -> Result<Epoch, TrainError> {
        let Progress { epoch, batch, .. } = state.progress;
        let (first, end) = self.config.steps_of_epoch(epoch);
        let sizes = (first..end).map(|step| self.config.image_size_at(step)).collect();
        self.loader.epoch_in_sizes(epoch, batch as usize, sizes).map_err(TrainError::Loader)
    }

    /// Batches of an epoch, all of one image size.
    pub(super) fn batches_of_size(&self, size: usize) -> Result<Epoch, TrainError> {
        let sizes = vec![size; self.loader.batches()];
        self.loader.epoch_in_sizes(1, 0, sizes).map_err(TrainError::Loader)
    }

    /// Plans a step for the size of its images and the layers that still train.
    fn plan(&mut self, batch: &Batch, step: u64) -> Result<(), PlanError> {
        let TrainConfig { recipe, .. } = self.config;
        let network = self.engine.store().0;
        let (nodes, steps) = (network.graph().nodes(), self.config.length_at(step));
        let rate = |node: NodeId| recipe.freeze_factor(&nodes[node].name, step, steps);
        let trains = |node| {
            let params = network.params().iter().filter(|param| param.node == node);
            let is_frozen = |kind| recipe.sgd.is_frozen(network.graph(), node, kind);
            rate(node) > 0.0 && params.map(|param| param.kind).any(|kind| !is_frozen(kind))
        };
        let with_parameters = (0..nodes.len()).filter(|&node| nodes[node].has_parameters());
        let frozen = with_parameters.filter(|&node| !trains(node)).collect();
        let plan = Planned { height: batch.height, width: batch.width, frozen };
        if !recipe.freeze.is_empty() {
            let rates: Vec<f32> = (0..nodes.len()).map(rate).collect();
            self.engine.set_rates(|node| rates[node]);
        }
        if plan != self.plan {
            self.engine.replan(plan.height, plan.width, &plan.frozen)?;
            self.plan = plan;
        }
        Ok(())
    }

    /// Forward, loss, backward and update: the step, which counts from 0, at a learning rate.
    ///
    /// # Errors
    /// If there is no memory for a step of its images' size.
    pub(super) fn step(
        &mut self,
        batch: &Batch,
        step: u64,
        lr: f32,
    ) -> Result<StepResult, PlanError> {
        self.plan(batch, step)?;
        let input = Input::Bytes(&batch.pixels, &self.config.data.normalisation);
        let label_smoothing = self.config.recipe.label_smoothing;
        let targets = Targets::labels(&batch.labels, label_smoothing);
        let result = self.engine.backward(MicroBatch::whole(input, targets), &mut ());
        self.engine.apply(lr);
        Ok(result)
    }

    /// Moves the recipe's average after a step, which counts from 0.
    pub(super) fn update_average(&mut self, step: u64) {
        let Some(average) = self.config.recipe.average else { return };
        let (done, steps) = (step + 1, self.config.length_at(step));
        if let Some(decay) = average.decay_after(done, steps) {
            self.engine.update_average(decay);
        }
        if done == steps && !average.is_ema() {
            // At the end the network is the average.
            self.engine.update_average(1.0);
        }
    }

    /// Evaluates the test and the validation set; none if stopped.
    pub(super) fn evaluate(
        &mut self,
        stop: &StopFlag,
        listen: &mut dyn FnMut(&Event),
    ) -> Option<Evaluated> {
        let images = self.test.len() + self.validation.len();
        let normalisation = &self.config.data.normalisation;
        let mut done = 0;
        let mut run = |on: &Images| {
            let mut accumulator = Accumulator::new(self.config.data.classes.len());
            for (pixels, labels) in on.batches(evaluate::BATCH) {
                let input = Input::Bytes(pixels, normalisation);
                accumulator.add_batch(self.engine.evaluate(input, labels.len()), labels);
                done += labels.len();
                listen(&Event::Evaluating { done, images });
                if stop.load(Relaxed) != 0 {
                    return None;
                }
            }
            Some(accumulator)
        };
        let test = run(&self.test)?;
        let validation =
            if self.validation.is_empty() { None } else { Some(run(&self.validation)?) };
        Some(Evaluated { test, validation })
    }

    /// Whether all weights are finite.
    pub(super) fn is_finite(&self) -> bool {
        self.engine.store().0.values().iter().all(|value| value.is_finite())
    }

    /// Writes a checkpoint.
    pub(super) fn save(&self, path: &Path, state: &State) -> io::Result<()> {
        let isa = self.cpu.isa().name();
        checkpoint::save(path, self.config, &self.engine, state, isa)
    }

    /// The model that a PyTorch file is written from: of an average and the weights that go on
    /// training, a checkpoint with optimizer has the latter.
    pub(super) fn torch_model(&self, state: &State, format: SaveFormat) -> Model {
        let isa = self.cpu.isa().name();
        let (mut network, momentum) = self.engine.store();
        if format != SaveFormat::Checkpoint {
            network = self.engine.evaluated();
        }
        checkpoint::torch_model(self.config, network, momentum, state, isa)
    }

    /// Messages about the initial weights.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A description of the run.
    pub(super) fn started(&self, folder: &Path, state: &State) -> Started {
        let config = self.config;
        let train_images = self.loader.images().len();
        Started {
            folder: folder.to_owned(),
            arch: config.arch.to_string(),
            data: config.data.name.clone(),
            recipe: config.recipe.name.clone(),
            parameters: self.engine.store().0.values().len(),
            train_images,
            test_images: self.test.len(),
            validation_images: self.validation.len(),
            batch_size: config.recipe.batch_size.min(train_images),
            steps_per_epoch: config.steps_per_epoch(),
            total_steps: config.total_steps,
            epochs: config.epochs(),
            step: state.progress.step,
            history: state.history.clone(),
            machine: Machine::new(self.cpu, config.recipe.dtype),
        }
    }
}

/// Checks that the classes of a data set are those of a run's configuration. They are known before
/// the data is loaded.
///
/// # Errors
/// [`TrainError::Data`] if they differ.
pub fn check_classes(config: &TrainConfig, classes: &[impl AsRef<str>]) -> Result<(), TrainError> {
    let TrainConfig { data: DataConfig { name, classes: expected, .. }, .. } = config;
    if classes.iter().map(AsRef::as_ref).eq(expected.iter().map(String::as_str)) {
        return Ok(());
    }
    let message = "its classes are not those of the run's configuration";
    Err(TrainError::Data(format!("{name}: {message}")))
}

/// Checks that the data is that of the configuration.
fn check_data(
    config: &TrainConfig,
    classes: &[String],
    train: &Images,
    test: &Images,
    validation: &Images,
) -> Result<(), TrainError> {
    let expected = &config.data;
    let error = |message: String| Err(TrainError::Data(format!("{}: {message}", expected.name)));
    check_classes(config, classes)?;
    if train.len() != expected.train_images {
        let (found, expected) = (train.len(), expected.train_images);
        return error(format!(
            "it has {found} training images, but the configuration has {expected}"
        ));
    }
    for (what, images) in [("training", train), ("test", test), ("validation", validation)] {
        if images.is_empty() && what != "validation" {
            return error(format!("there are no {what} images"));
        }
        let (size, channels) = (expected.image_size, expected.normalisation.mean.len());
        if (images.height, images.width, images.channels) != (size, size, channels) {
            return error(format!(
                "its {what} images are {}x{}x{}, the configuration's {size}x{size}x{channels}",
                images.height, images.width, images.channels
            ));
        }
        if images.pixels.len() != images.len() * images.image_len() {
            return error(format!("its {what} images lack pixels"));
        }
        if let Some(label) = images.labels.iter().find(|&&label| label as usize >= classes.len()) {
            return error(format!("label {label} of its {what} images is not a class"));
        }
    }
    Ok(())
}
