//! The trainer: engine and data of a run.

use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};

use resnet_comm::Group;

use super::{
    Machine, Started, TrainError,
    check_data::checked,
    feature_bytes::from_bytes,
    hello::Hosts,
    initial_weights::{InitialWeights, random_network, remarks},
    kept_images::{images_of, keep_images},
    memory::{check_memory, engine_config, needs_cpu},
    mixing::Mixing,
    shards::{Begun, ShardSource, ShardSums, Stepped},
    step_plan::StepPlan,
    whitening::whiten,
};
use crate::{
    Device,
    checkpoint::{self, Restored, Stored},
    config::TrainConfig,
    data::{Batch, Epoch, ImageSet, Loader, Parts, Shards},
    engine::{Engine, EngineError, Hooks, Input, MicroBatch, StepResult, Targets},
    evaluate,
    metrics::{Progress, State},
    model_file::{Model, SaveFormat},
    optim::Rates,
    run::RunFolder,
};

/// How many steps a GPU may be behind, so that it need not wait for this machine.
const LATE: usize = 3;

/// A process alone.
static ALONE: Group = Group::alone();

/// A network in training, with its data.
pub(super) struct Trainer<'a> {
    pub(super) config: &'a TrainConfig,
    device: Device,
    /// The processes that share the run.
    pub(super) group: &'a Group,
    /// Their machines.
    pub(super) hosts: Hosts,
    /// The parts of a batch that this process has.
    pub(super) shards: Shards,
    pub(super) sums: ShardSums,
    pub(super) engine: Engine,
    pub(super) loader: Loader,
    pub(super) validation: Option<ImageSet>,
    pub(super) test: Option<ImageSet>,
    /// The layers whose weights are random.
    random: Vec<String>,
    /// Messages about the initial weights.
    notes: Vec<String>,
    pub(super) plan: StepPlan,
    /// Steps whose results were not taken yet, the oldest first.
    begun: VecDeque<Begun>,
    /// Steps of the run up to the last one that was begun.
    pub(super) begun_steps: u64,
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
        device: impl Into<Device>,
        init: Option<&Path>,
    ) -> Result<Self, TrainError> {
        Trainer::in_group(&ALONE, config, data, device, init)
    }

    /// The same for a process among others, which [can](super::hello::check) train the run.
    pub(super) fn in_group(
        group: &'a Group,
        config: &'a TrainConfig,
        data: Parts,
        device: impl Into<Device>,
        init: Option<&Path>,
    ) -> Result<Self, TrainError> {
        let device = device.into();
        if device.is_gpu()
            && let Some(setting) = needs_cpu(config, group.size())
        {
            return Err(EngineError::CpuOnly(setting).into());
        }
        let Parts { classes, train, validation, test, .. } = checked(config, data)?;

        let [.., channels] = train.size();
        let graph = config.arch.graph_with(channels, classes.len(), config.arch.width());
        let evaluated = [&test, &validation].map(|set| set.as_ref().map_or(1, ImageSet::len));
        let most = evaluated[0].max(evaluated[1]);
        let engine_config = engine_config(config, evaluate::BATCH.min(most));
        let size = config.data.image_size;
        let batch = config.recipe.batch_size.min(config.data.train_images);
        let shards = Shards::of_process(config.recipe.parallel.shards, group.rank(), group.size());
        check_memory(&graph, &engine_config, group, &device)?;
        let InitialWeights { network, buffers, random, notes } = match init {
            Some(file) => InitialWeights::from_file(file, config, graph)?,
            None => InitialWeights::new(random_network(graph, config)),
        };
        let mut engine = Engine::new(network, &engine_config, &device)?;
        if let Some(buffers) = buffers {
            engine.load(engine.store()?.0.clone(), buffers);
        }
        let class_weights = config.recipe.class_weights.as_ref();
        let class_weights = class_weights.map(|weights| weights.of(train.labels(), classes.len()));
        let loader = loader(config, train, batch).with_shards(shards.clone());
        let loader = keep_images(loader, config, &mut engine)?;
        Ok(Trainer {
            plan: StepPlan::new(config, engine.store()?.0, size),
            engine,
            config,
            device,
            group,
            hosts: Hosts::default(),
            sums: ShardSums::default(),
            validation,
            test,
            random,
            notes,
            begun: VecDeque::new(),
            begun_steps: 0,
            mixing: Mixing::default(),
            has_features: false,
            class_weights,
            loader,
            shards,
        })
    }

    /// Begins a new run: [whitens](Trainer::whiten), and notes what is to be said of random weights.
    pub(super) fn begin_run(&mut self) -> Result<(), EngineError> {
        self.whiten()?;
        self.notes.extend(remarks(&self.random, self.config, &self.plan));
        Ok(())
    }

    /// Whitens the first convolution, if the recipe asks for it and its weights are random.
    pub(super) fn whiten(&mut self) -> Result<(), EngineError> {
        let Some(settings) = self.config.recipe.whiten else { return Ok(()) };
        let (network, buffers) = self.engine.store()?;
        let (mut network, buffers) = (network.clone(), buffers.clone());
        let graph = network.graph();
        let stem = network.params().iter().find(|param| graph.reads_images(param.node));
        let stem = stem.map(|param| &graph.nodes()[param.node].name);
        let Some(random) = self.random.iter().position(|layer| Some(layer) == stem) else {
            return Ok(());
        };
        let normalisation = &self.config.data.normalisation;
        let Some(images) = self.loader.images() else { return Ok(()) };
        whiten(&mut network, images, normalisation, settings);
        self.engine.load(network, buffers);
        self.random.remove(random);
        Ok(())
    }

    /// Loads network and optimiser from a checkpoint of the run. Returns the run's state, and the
    /// instruction set or GPU that it was trained with.
    pub(super) fn restore(
        &mut self,
        run: &RunFolder,
        file: &Path,
    ) -> Result<(State, Option<String>), TrainError> {
        let mut network = self.engine.store()?.0.clone();
        let Restored { buffers, average, state, device } =
            checkpoint::load(file, self.config, &mut network)
                .map_err(TrainError::resume(run, file))?;
        self.engine.load(network, buffers);
        if let Some(average) = average {
            self.engine.load_average(average);
        }
        Ok((state, device))
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

    /// Forward, loss, backward and update: the step, which counts from 0, at these learning rates, by this
    /// process's shards of the next batch: the batch itself, if it is not cut. False if there is none, or not all of
    /// them. A batch without images, whose photos cannot be used, updates nothing. `stop` is this process's stop
    /// flag. [`Trainer::stepped`] has the result.
    ///
    /// # Errors
    /// If there is no memory for a step of its images' size, or processes cannot go on together.
    pub(super) fn step(
        &mut self,
        source: &mut dyn ShardSource,
        step: u64,
        rates: Rates,
        stop: usize,
    ) -> Result<bool, TrainError> {
        let Some(first) = source.next_shard() else { return Ok(false) };
        self.begun_steps = step + 1;
        let begun = if self.shards == Shards::default() {
            let (images, waited) = (first.labels.len(), Duration::ZERO);
            let mut result = Some(StepResult { loss: 0.0, correct: 0 });
            if images > 0 {
                (result, _) = self.begin(&first, None, step, &mut ())?;
                self.update(rates)?;
            }
            source.give_back(first);
            Some(Begun { result, images, stop, waited })
        } else {
            self.step_in_shards(first, source, step, rates, stop)?
        };
        let is_begun = begun.is_some();
        self.begun.extend(begun);
        Ok(is_begun)
    }

    /// The oldest step whose result was not taken yet, if it is there: on a GPU only if several others were
    /// begun after it, or if `all` are asked for.
    ///
    /// # Errors
    /// If the GPU was lost.
    pub(super) fn stepped(&mut self, all: bool) -> Result<Option<Stepped>, TrainError> {
        let is_due = |oldest: &Begun| all || self.begun.len() > LATE || oldest.result.is_some();
        if !self.begun.front().is_some_and(is_due) {
            return Ok(None);
        }
        let oldest = self.begun.pop_front();
        let Some(Begun { result, images, stop, waited }) = oldest else { return Ok(None) };
        let result = match result {
            Some(result) => result,
            None => self.engine.result()?,
        };
        Ok(Some(Stepped { result, images, stop, waited }))
    }

    /// Forward, loss and backward of a batch, or of a part of one with `planned` images. The result of a GPU
    /// comes later. Returns also what its loss is divided by, if it is whole: its images, or the weights of their
    /// classes.
    pub(super) fn begin(
        &mut self,
        batch: &Batch,
        planned: Option<usize>,
        step: u64,
        hooks: &mut dyn Hooks,
    ) -> Result<(Option<StepResult>, f64), EngineError> {
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
        let features = self.has_features.then(|| from_bytes(&batch.pixels));
        let own = match &features {
            Some(features) => Input::Features(features),
            None => images_of(batch, &data.normalisation),
        };
        let (input, targets) = match mixed {
            Some((pixels, targets)) => (Input::Bytes(pixels, &data.normalisation), targets),
            None => (own, Targets::labels(&batch.labels, smoothing)),
        };
        let targets = targets.with_class_weights(self.class_weights.as_deref());
        let whole = MicroBatch::whole(input, targets);
        let part = |batch_size| MicroBatch { batch_size, batch_weight: None, ..whole };
        let result = self.engine.begin(planned.map_or(whole, part), hooks)?;
        Ok((result, targets.total_weight()))
    }

    /// Updates the parameters by the gradients of a whole batch.
    pub(super) fn update(&mut self, rates: Rates) -> Result<(), EngineError> {
        if let Some(max_norm) = self.config.recipe.clip_grad {
            self.engine.clip_grad_norm(max_norm)?;
        }
        self.engine.apply(rates)
    }

    /// Moves the recipe's average after a step, which counts from 0.
    pub(super) fn update_average(&mut self, step: u64) -> Result<(), EngineError> {
        let Some(average) = self.config.recipe.average else { return Ok(()) };
        let (done, steps) = (step + 1, self.config.length_at(step));
        if let Some(decay) = average.decay_after(done, steps) {
            self.engine.update_average(decay)?;
        }
        if done == steps && !average.is_ema() {
            // At the end the network is the average.
            self.engine.update_average(1.0)?;
        }
        Ok(())
    }

    /// Messages about photos since the last call.
    pub(super) fn take_notes(&self) -> Vec<String> {
        self.loader.take_notes()
    }

    /// What a checkpoint has in addition to the state of the run.
    pub(super) fn stored(&self) -> Result<Stored<'_>, EngineError> {
        let (network, buffers) = self.engine.store()?;
        Ok(Stored { network, buffers, average: self.engine.average()? })
    }

    /// What computes: the name of the GPU, or of the instruction set.
    pub(super) fn device_name(&self) -> String {
        let isa = || self.device.cpu().isa().name().to_owned();
        self.device.gpu_name().unwrap_or_else(isa)
    }

    /// The model that a PyTorch file is written from: of an average and the weights that go on
    /// training, a checkpoint with optimizer has the latter.
    pub(super) fn torch_model(
        &self,
        state: &State,
        format: SaveFormat,
    ) -> Result<Model, EngineError> {
        let (mut network, buffers) = self.engine.store()?;
        if format != SaveFormat::Checkpoint {
            network = self.engine.evaluated()?;
        }
        Ok(checkpoint::torch_model(self.config, network, buffers, state, &self.device_name()))
    }

    /// Messages about the initial weights.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A description of the run.
    pub(super) fn started(&self, folder: &Path, state: &State) -> Result<Started, EngineError> {
        let config = self.config;
        let train_images = self.loader.len();
        let images = |set: &Option<ImageSet>| set.as_ref().map_or(0, ImageSet::len);
        let processes = [self.group.size(), self.hosts.count()];
        Ok(Started {
            folder: folder.to_owned(),
            arch: config.arch.to_string(),
            data: config.data.name.clone(),
            recipe: config.recipe.name.clone(),
            parameters: self.engine.store()?.0.values().len(),
            train_images,
            test_images: images(&self.test),
            validation_images: images(&self.validation),
            batch_size: config.recipe.batch_size.min(train_images),
            steps_per_epoch: config.steps_per_epoch(),
            total_steps: config.total_steps,
            epochs: config.epochs(),
            step: state.progress.step,
            history: state.history.clone(),
            machine: Machine::new(&self.device, config.recipe.dtype, processes),
        })
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
