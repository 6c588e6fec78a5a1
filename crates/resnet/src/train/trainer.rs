//! The trainer: engine and data of a run.

use std::{
    io,
    ops::ControlFlow::{Break, Continue},
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{
    Event, Machine, Started, StopFlag, TrainError,
    feature_bytes::from_bytes,
    initial_weights::{InitialWeights, random_network},
    memory::engine_config,
    mixing::Mixing,
    step_plan::StepPlan,
    whitening::whiten,
};
use crate::{
    Cpu,
    checkpoint::{self, CheckpointError, Restored},
    config::{DataConfig, TrainConfig},
    data::{Batch, DataError, Epoch, ImageSet, Loader, Parts},
    engine::{Engine, Input, MicroBatch, PlanError, StepResult, Targets},
    evaluate::{self, Accumulator},
    metrics::{Progress, State},
    model_file::{Model, SaveFormat},
    optim::Rates,
};

/// A network in training, with its data.
pub(super) struct Trainer<'a> {
    pub(super) config: &'a TrainConfig,
    cpu: &'a Cpu,
    pub(super) engine: Engine,
    pub(super) loader: Loader,
    pub(super) validation: Option<ImageSet>,
    pub(super) test: Option<ImageSet>,
    /// Messages about the initial weights.
    notes: Vec<String>,
    pub(super) plan: StepPlan,
    mixing: Mixing,
    /// Weights of the classes in the loss.
    class_weights: Option<Vec<f32>>,
    /// Whether loader and sets have features in place of images ([`Trainer::keep_features`]).
    pub(super) has_features: bool,
}

/// The evaluation after an epoch.
#[derive(Clone, Debug)]
pub(crate) struct Evaluated {
    /// On the test set, if there is one.
    pub(crate) test: Option<Accumulator>,
    /// On the validation set, if there is one.
    pub(crate) validation: Option<Accumulator>,
}

impl Evaluated {
    pub(super) fn is_finite(&self) -> bool {
        [&self.test, &self.validation].into_iter().flatten().all(|set| set.loss().is_finite())
    }
}

impl<'a> Trainer<'a> {
    /// A trainer at step 0, with the weights of a file or random ones.
    pub(super) fn new(
        config: &'a TrainConfig,
        data: Parts,
        cpu: &'a Cpu,
        init: Option<&Path>,
    ) -> Result<Self, TrainError> {
        let Parts { classes, mut train, mut validation, test, .. } = data;
        hold_out(config, &mut train, &mut validation)?;
        check_data(config, &classes, &train, test.as_ref(), validation.as_ref())?;

        let [.., channels] = train.size();
        let graph = config.arch.graph_with(channels, classes.len(), config.arch.width());
        let evaluated = [&test, &validation].map(|set| set.as_ref().map_or(1, ImageSet::len));
        let most = evaluated[0].max(evaluated[1]);
        let engine_config = engine_config(config, evaluate::BATCH.min(most));
        let (size, batch) = (config.data.image_size, engine_config.batch);
        Engine::check(&graph, &engine_config, 0, cpu)?;
        let InitialWeights { network, buffers, notes } = match init {
            Some(file) => InitialWeights::from_file(file, config, graph)?,
            None => InitialWeights::new(random_network(graph, config)),
        };
        let mut engine = Engine::new(network, &engine_config, cpu)?;
        if let Some(buffers) = buffers {
            engine.load(engine.store().0.clone(), buffers);
        }
        let class_weights = config.recipe.class_weights.as_ref();
        Ok(Trainer {
            plan: StepPlan::new(config, engine.store().0, size),
            engine,
            config,
            cpu,
            validation,
            test,
            notes,
            mixing: Mixing::default(),
            has_features: false,
            class_weights: class_weights.map(|weights| weights.of(train.labels(), classes.len())),
            loader: loader(config, train, batch),
        })
    }

    /// Whitens the first convolution, if the recipe asks for it.
    pub(super) fn whiten(&mut self) {
        let Some(settings) = self.config.recipe.whiten else { return };
        let (network, buffers) = self.engine.store();
        let (mut network, buffers) = (network.clone(), buffers.clone());
        let normalisation = &self.config.data.normalisation;
        let Some(images) = self.loader.images() else { return };
        whiten(&mut network, images, normalisation, settings);
        self.engine.load(network, buffers);
    }

    /// Loads network and optimiser from a checkpoint of the run. Returns the run's state, and the
    /// instruction set that it was trained with.
    pub(super) fn restore(
        &mut self,
        file: &Path,
    ) -> Result<(State, Option<String>), CheckpointError> {
        let mut network = self.engine.store().0.clone();
        let Restored { buffers, average, state, isa } =
            checkpoint::load(file, self.config, &mut network)?;
        self.engine.load(network, buffers);
        if let Some(average) = average {
            self.engine.load_average(average);
        }
        Ok((state, isa))
    }

    /// The remaining batches of the current epoch, in the image sizes of its steps.
    pub(super) fn batches(&self, state: &State) -> Result<Epoch, TrainError> {
        let Progress { epoch, batch, .. } = state.progress;
        let (first, end) = self.config.steps_of_epoch(epoch);
        let mut sizes: Vec<_> = (first..end).map(|step| self.config.image_size_at(step)).collect();
        if self.has_features {
            sizes.clear();
        }
        self.loader.epoch_in_sizes(epoch, batch as usize, sizes).map_err(TrainError::Loader)
    }

    /// Batches of an epoch, all of one image size.
    pub(super) fn batches_of_size(&self, size: usize) -> Result<Epoch, TrainError> {
        let sizes = vec![size; if self.has_features { 0 } else { self.loader.batches() }];
        self.loader.epoch_in_sizes(1, 0, sizes).map_err(TrainError::Loader)
    }

    /// Forward, loss, backward and update: the step, which counts from 0, at these learning rates. A batch
    /// without images, whose photos cannot be used, updates nothing.
    ///
    /// # Errors
    /// If there is no memory for a step of its images' size.
    pub(super) fn step(
        &mut self,
        batch: &Batch,
        step: u64,
        rates: Rates,
    ) -> Result<StepResult, PlanError> {
        if batch.labels.is_empty() {
            return Ok(StepResult { loss: 0.0, correct: 0 });
        }
        let TrainConfig { recipe, data, seed, .. } = self.config;
        let size = match self.has_features {
            true => [data.image_size; 2],
            false => [batch.height, batch.width],
        };
        self.plan.update(&mut self.engine, self.config, size, step)?;
        let epoch = step / self.config.steps_per_epoch() + 1;
        let key = [*seed, epoch, step - self.config.steps_of_epoch(epoch).0];
        let smoothing = recipe.label_smoothing;
        let mixed = recipe
            .mix
            .and_then(|mix| self.mixing.mix(mix, key, batch, data.classes.len(), smoothing));
        let (pixels, targets) =
            mixed.unwrap_or((&batch.pixels, Targets::labels(&batch.labels, smoothing)));
        let targets = targets.with_class_weights(self.class_weights.as_deref());
        let features = self.has_features.then(|| from_bytes(pixels));
        let input = match &features {
            Some(features) => Input::Features(features),
            None => Input::Bytes(pixels, &data.normalisation),
        };
        let result = self.engine.backward(MicroBatch::whole(input, targets), &mut ());
        if let Some(max_norm) = recipe.clip_grad {
            self.engine.clip_grad_norm(max_norm);
        }
        self.engine.apply(rates);
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
    ///
    /// # Errors
    /// If photos can no longer be read.
    pub(super) fn evaluate(
        &mut self,
        stop: &StopFlag,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<Option<Evaluated>, DataError> {
        let images =
            [&self.test, &self.validation].map(|set| set.as_ref().map_or(0, ImageSet::len));
        let images = images.iter().sum();
        let normalisation = &self.config.data.normalisation;
        let (mut done, mut stopped) = (0, false);
        let mut run = |on: &ImageSet| {
            let mut accumulator = Accumulator::new(self.config.data.classes.len());
            on.visit(evaluate::BATCH, |pixels, labels| {
                if !labels.is_empty() {
                    let features = self.has_features.then(|| from_bytes(pixels));
                    let input = match &features {
                        Some(features) => Input::Features(features),
                        None => Input::Bytes(pixels, normalisation),
                    };
                    accumulator.add_batch(self.engine.evaluate(input, labels.len()), labels);
                }
                done += labels.len();
                listen(&Event::Evaluating { done, images });
                stopped |= stop.load(Relaxed) != 0;
                if stopped { Break(()) } else { Continue(()) }
            })?;
            Ok::<_, DataError>(accumulator)
        };
        let test = self.test.as_ref().map(&mut run).transpose()?;
        let validation = self.validation.as_ref().map(&mut run).transpose()?;
        Ok((!stopped).then_some(Evaluated { test, validation }))
    }

    /// Messages about photos since the last call.
    pub(super) fn take_notes(&self) -> Vec<String> {
        self.loader.take_notes()
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
        let (mut network, buffers) = self.engine.store();
        if format != SaveFormat::Checkpoint {
            network = self.engine.evaluated();
        }
        checkpoint::torch_model(self.config, network, buffers, state, isa)
    }

    /// Messages about the initial weights.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A description of the run.
    pub(super) fn started(&self, folder: &Path, state: &State) -> Started {
        let config = self.config;
        let train_images = self.loader.len();
        let images = |set: &Option<ImageSet>| set.as_ref().map_or(0, ImageSet::len);
        Started {
            folder: folder.to_owned(),
            arch: config.arch.to_string(),
            data: config.data.name.clone(),
            recipe: config.recipe.name.clone(),
            parameters: self.engine.store().0.values().len(),
            train_images,
            test_images: images(&self.test),
            validation_images: images(&self.validation),
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

/// Takes the validation set out of images in memory. That of photos was chosen with them.
///
/// # Errors
/// If no image would remain.
pub(super) fn hold_out(
    config: &TrainConfig,
    train: &mut ImageSet,
    validation: &mut Option<ImageSet>,
) -> Result<(), TrainError> {
    if let (ImageSet::Memory(train), None, images @ 1..) =
        (train, &validation, config.data.validation)
    {
        *validation = Some(ImageSet::Memory(train.random_split(images, config.seed)?));
    }
    Ok(())
}

/// The loader of a run.
pub(super) fn loader(config: &TrainConfig, train: ImageSet, batch: usize) -> Loader {
    let TrainConfig { recipe, seed, .. } = config;
    let loader = match train {
        ImageSet::Memory(images) => Loader::new(Arc::new(images), batch, recipe.augment, *seed),
        ImageSet::Photos(photos) => {
            let transform = recipe.transform.clone().unwrap_or_default();
            Loader::of_photos(photos, batch, transform, *seed)
        }
    };
    loader.with_mean(&config.data.normalisation).with_sampling(recipe.sampling)
}

/// Checks that the data is that of the configuration.
fn check_data(
    config: &TrainConfig,
    classes: &[String],
    train: &ImageSet,
    test: Option<&ImageSet>,
    validation: Option<&ImageSet>,
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
    let validation_images = validation.map_or(0, ImageSet::len);
    if validation_images != expected.validation {
        return error(format!(
            "it has {validation_images} validation images, but the configuration has {}",
            expected.validation
        ));
    }
    if config.recipe.patience.is_some() && validation.or(test).is_none() {
        return error(
            "--patience needs images for validation or testing (--validation)".to_owned(),
        );
    }
    let sets = [("training", Some(train)), ("test", test), ("validation", validation)];
    for (what, images) in sets.into_iter().filter_map(|(what, set)| Some((what, set?))) {
        if images.is_empty() {
            return error(format!("there are no {what} images"));
        }
        let (size, channels) = (expected.image_size, expected.normalisation.mean.len());
        let [height, width, found] = images.size();
        if [height, width, found] != [size, size, channels] {
            return error(format!(
                "its {what} images are {height}x{width}x{found}, the configuration's \
                 {size}x{size}x{channels}"
            ));
        }
        if let ImageSet::Memory(images) = images
            && images.pixels.len() != images.len() * images.image_len()
        {
            return error(format!("its {what} images lack pixels"));
        }
        if let Some(label) = images.labels().iter().find(|&&label| label as usize >= classes.len())
        {
            return error(format!("label {label} of its {what} images is not a class"));
        }
    }
    Ok(())
}
