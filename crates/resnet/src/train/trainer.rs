//! The trainer: engine and data of a run.

use std::{io, path::Path, sync::Arc, time::Duration};

use resnet_comm::Group;

use super::{
    Machine, Started, TrainError,
    check_data::{check_data, hold_out},
    feature_bytes::from_bytes,
    initial_weights::{InitialWeights, random_network},
    memory::engine_config,
    mixing::Mixing,
    shards::{ShardSums, Stepped},
    step_plan::StepPlan,
    whitening::whiten,
};
use crate::{
    Cpu,
    checkpoint::{self, CheckpointError, Restored},
    config::TrainConfig,
    data::{Batch, Epoch, ImageSet, Loader, Parts, Shards},
    engine::{Engine, Hooks, Input, MicroBatch, PlanError, StepResult, Targets},
    evaluate,
    metrics::{Progress, State},
    model_file::{Model, SaveFormat},
    optim::Rates,
};

/// A process alone.
static ALONE: Group = Group::alone();

/// A network in training, with its data.
pub(super) struct Trainer<'a> {
    pub(super) config: &'a TrainConfig,
    cpu: &'a Cpu,
    /// The processes that share the run.
    pub(super) group: &'a Group,
    /// The parts of a batch that this process has.
    pub(super) shards: Shards,
    pub(super) sums: ShardSums,
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

impl<'a> Trainer<'a> {
    /// A trainer at step 0, with the weights of a file or random ones.
    pub(super) fn new(
        config: &'a TrainConfig,
        data: Parts,
        cpu: &'a Cpu,
        init: Option<&Path>,
    ) -> Result<Self, TrainError> {
        Trainer::in_group(&ALONE, config, data, cpu, init)
    }

    /// The same for a process among others, which [can](super::member::check) train the run.
    pub(super) fn in_group(
        group: &'a Group,
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
        let size = config.data.image_size;
        let batch = config.recipe.batch_size.min(config.data.train_images);
        let shards = Shards::of_process(config.recipe.parallel.shards, group.rank(), group.size());
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
            group,
            sums: ShardSums::default(),
            validation,
            test,
            notes,
            mixing: Mixing::default(),
            has_features: false,
            class_weights: class_weights.map(|weights| weights.of(train.labels(), classes.len())),
            loader: loader(config, train, batch).with_shards(shards.clone()),
            shards,
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

    /// The most images of a micro-batch.
    pub(super) fn batch_of_engine(&self) -> usize {
        let TrainConfig { recipe, data, .. } = self.config;
        self.shards.most(recipe.batch_size.min(data.train_images))
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

    /// This process's shards of the next batch: the batch itself, if it is not cut. None at the end.
    pub(super) fn next(&self, batches: &mut Epoch) -> Option<Vec<Batch>> {
        let own = self.shards.own().len();
        let shards: Vec<Batch> = batches.take(own).collect();
        (shards.len() == own).then_some(shards)
    }

    /// Forward, loss, backward and update: the step, which counts from 0, at these learning rates, by this
    /// process's shards of the batch. A batch without images, whose photos cannot be used, updates nothing. `stop`
    /// is this process's stop flag.
    ///
    /// # Errors
    /// If there is no memory for a step of its images' size, or processes cannot go on together.
    pub(super) fn step(
        &mut self,
        shards: &[Batch],
        step: u64,
        rates: Rates,
        stop: usize,
    ) -> Result<Stepped, TrainError> {
        let [batch] = shards else { return self.step_in_shards(shards, step, rates, stop) };
        if self.shards != Shards::default() {
            return self.step_in_shards(shards, step, rates, stop);
        }
        let (images, waited) = (batch.labels.len(), Duration::ZERO);
        if images == 0 {
            let result = StepResult { loss: 0.0, correct: 0 };
            return Ok(Stepped { result, images, stop, waited });
        }
        let (result, _) = self.backward(batch, None, step, &mut ())?;
        self.update(rates);
        Ok(Stepped { result, images, stop, waited })
    }

    /// Forward, loss and backward of a batch, or of a part of one with `planned` images. Returns also what its
    /// loss is divided by, if it is whole: its images, or the weights of their classes.
    pub(super) fn backward(
        &mut self,
        batch: &Batch,
        planned: Option<usize>,
        step: u64,
        hooks: &mut dyn Hooks,
    ) -> Result<(StepResult, f64), PlanError> {
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
        let whole = MicroBatch::whole(input, targets);
        let part = |batch_size| MicroBatch { batch_size, batch_weight: None, ..whole };
        let result = self.engine.backward(planned.map_or(whole, part), hooks);
        Ok((result, targets.total_weight()))
    }

    /// Updates the parameters by the gradients of a whole batch.
    pub(super) fn update(&mut self, rates: Rates) {
        if let Some(max_norm) = self.config.recipe.clip_grad {
            self.engine.clip_grad_norm(max_norm);
        }
        self.engine.apply(rates);
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
            machine: Machine::new(self.cpu, config.recipe.dtype, self.group.size()),
        }
    }
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
