//! The engine: trains and evaluates a network. It is the interface between the training loop and
//! the arithmetic.

mod config;
mod gradients;

use resnet_kernels::{Cpu, Dtype, average, norm};
use resnet_network::{
    Network,
    graph::{Graph, NodeId},
    optim::{Average, Muon, Rates},
};
use resnet_program::{
    Input, MicroBatch, PlanError, StepResult,
    lower::Lowering,
    memory::{check, zeros},
    program::Program,
};

use crate::{
    cpu::{EvalPlan, Prepared, TrainPlan},
    hooks::Hooks,
    muon::{self, Muon as MuonState},
    optim::{Optimizer, OptimizerBuffers},
    plan_summary::PlanSummary,
};

pub use self::config::EngineConfig;

/// Trains a network on this machine's processor. It owns the parameters, their gradients, the
/// running statistics and the optimiser's state.
///
/// A training step is one call of [`Engine::backward`] for each micro-batch, then one of
/// [`Engine::apply`]. This is PyTorch's gradient accumulation: gradients add up in the order of the
/// calls. A micro-batch is a whole batch or a part of one, and may be empty.
///
/// ```
/// use resnet_engine::{Engine, EngineConfig, Input, MicroBatch, Targets};
/// use resnet_kernels::Cpu;
/// use resnet_network::{Arch, Network, network::Init, optim::SgdConfig};
///
/// let arch: Arch = "resnet8".parse()?;
/// let net = Network::new(arch.graph(10), Init::PyTorch, 0);
/// let sgd = SgdConfig {
///     momentum: 0.9, weight_decay: 5e-4, ..SgdConfig::default()
/// };
/// let config = EngineConfig {
///     batch: 2, eval_batch: 2, optimizer: sgd.into(), ..EngineConfig::default()
/// };
/// let mut engine = Engine::new(net, &config, &Cpu::new(2)?)?;
/// let images = vec![0.5; 2 * 3 * 32 * 32];
/// let targets = Targets::labels(&[3, 7], 0.0);
/// let first = engine.backward(MicroBatch::whole(Input::Nchw(&images), targets), &mut ());
/// engine.apply(0.01);
/// let second = engine.backward(MicroBatch::whole(Input::Nchw(&images), targets), &mut ());
/// assert!(second.loss < first.loss);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    cpu: Cpu,
    network: Network,
    optimizer: Optimizer,
    muon: Option<MuonState>,
    /// The average, with its kind.
    average: Option<(Average, Network)>,
    gradients: Vec<f32>,
    /// Scratch for their norm.
    norm_scratch: Vec<f32>,
    /// Whether `gradients` holds those of earlier micro-batches.
    under_way: bool,
    train: TrainPlan,
    eval: EvalPlan,
    logits: Vec<f32>,
    /// Whether `eval` has loaded the present network.
    eval_is_current: bool,
    /// Values of an input image.
    image_len: usize,
}

impl Engine {
    /// An engine for a network, before its first step.
    ///
    /// # Errors
    /// If the graph does not fit the image size, breaks a [rule](Graph::check), or needs more
    /// memory than is available.
    pub fn new(network: Network, config: &EngineConfig, cpu: &Cpu) -> Result<Self, PlanError> {
        let (graph, parameters) = (network.graph(), network.values().len());
        let EngineConfig { eval_batch, height, width, optimizer, .. } = *config;
        let copies = copies(config);
        let (train, eval) = Engine::prepare(graph, config, copies * parameters, cpu)?;
        let muon = config.muon.map(|muon| MuonState::new(&network, muon, cpu)).transpose()?;
        let mut train = TrainPlan::build(graph, train, cpu)?;
        train.norm_momentum = config.batch_norm_momentum;
        let mut engine = Engine {
            cpu: cpu.clone(),
            train,
            logits: zeros(eval_batch * graph.classes())?,
            eval: EvalPlan::build(graph, eval, cpu)?,
            eval_is_current: false,
            image_len: graph.in_channels() * height * width,
            gradients: zeros(parameters)?,
            norm_scratch: zeros(norm::scratch_len(parameters))?,
            under_way: false,
            optimizer: Optimizer::new(&network, optimizer),
            muon,
            average: config.average.map(|average| (average, network.clone())),
            network,
        };
        engine.set_rates(|_| 1.0);
        Ok(engine)
    }

    /// Checks that there is memory for a network and an engine for it, before either is made, and for
    /// `kept` bytes of something else.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn check(
        graph: &Graph,
        config: &EngineConfig,
        kept: usize,
        cpu: &Cpu,
    ) -> Result<(), PlanError> {
        let shapes = graph.shapes(config.height, config.width)?;
        let parameters = graph.nodes().iter().map(|node| {
            let inputs = node.inputs.first().map_or(0, |&input| shapes[input].channels);
            let (weights, biases) = node.parameters(inputs);
            weights + biases
        });
        let copies = 1 + copies(config);
        let values = (copies * parameters.sum::<usize>()).saturating_add(kept.div_ceil(4));
        Engine::prepare(graph, config, values, cpu).map(drop)
    }

    /// Prepares the plans for training and evaluation, if they and `values` more values fit into
    /// memory.
    fn prepare(
        graph: &Graph,
        config: &EngineConfig,
        values: usize,
        cpu: &Cpu,
    ) -> Result<(Prepared, Prepared), PlanError> {
        let EngineConfig { dtype, batch, eval_batch, height, width, .. } = *config;
        let train = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        // Training produces fp32 weights, so they are evaluated in fp32.
        let eval = Lowering { dtype: Dtype::Fp32, batch: eval_batch, ..train };
        let train = TrainPlan::prepare(train, cpu)?;
        let eval = EvalPlan::prepare_micro_batched(eval, eval_batch, &[], cpu)?;
        let values =
            values.saturating_add(config.muon.map_or(0, |_| muon::scratch_len(graph, cpu)));
        let needed = [&train, &eval].map(|plan| plan.memory.without_tables());
        let needed =
            needed.into_iter().fold(size_of::<f32>().saturating_mul(values), usize::saturating_add);
        check(needed)?;
        Ok((train, eval))
    }

    /// Replaces parameters, running statistics and what the optimiser keeps, and drops the gradients so
    /// far. An average starts again, from this network.
    ///
    /// # Panics
    /// If the network has another graph, or the buffers are of another network or optimiser.
    pub fn load(&mut self, network: Network, buffers: OptimizerBuffers) {
        assert!(network.graph() == self.network.graph(), "a network of another graph");
        assert!(buffers.fit(&network, self.optimizer.config()), "buffers of another optimiser");
        if let Some((_, average)) = &mut self.average {
            average.clone_from(&network);
        }
        self.network = network;
        self.optimizer.buffers = buffers;
        (self.under_way, self.eval_is_current) = (false, false);
    }

    /// Plans the next steps: for training images of `height` x `width`, without the gradients that only
    /// the parameters of `frozen` nodes need, and with the running statistics in the batch norms `eval`, which
    /// do not move them. Evaluation stays as it is. The memory of earlier
    /// plans is used again; smaller images need no more.
    ///
    /// Steps do not depend on which were planned before: a network has the same values as if its engine
    /// had been made for this.
    ///
    /// # Errors
    /// As [`Engine::new`]. The engine can then not be used.
    ///
    /// # Panics
    /// Between the micro-batches of a batch.
    pub fn replan(
        &mut self,
        height: usize,
        width: usize,
        frozen: &[NodeId],
        eval: &[NodeId],
    ) -> Result<(), PlanError> {
        assert!(!self.under_way, "a batch is under way");
        let Program { dtype, batch, .. } = *self.train.program();
        let graph = self.network.graph();
        let lowering = Lowering { graph, dtype, batch, height, width, frozen, eval };
        self.train.replan(TrainPlan::prepare(lowering, &self.cpu)?)
    }

    /// From now on, the rate of a node's parameters is that of the optimiser's settings times `factor`;
    /// with 0 they stay as they are.
    pub fn set_rates(&mut self, factor: impl Fn(NodeId) -> f32) {
        let graph = self.network.graph();
        let has_muon = self.muon.is_some();
        let is_others = |node| !(has_muon && Muon::trains(graph, node));
        let of_others = |node| if is_others(node) { factor(node) } else { 0.0 };
        self.optimizer.set_rates(&self.network, of_others);
        if let Some(muon) = &mut self.muon {
            muon.set_rates(factor);
        }
    }

    /// Replaces the average.
    ///
    /// # Panics
    /// If the engine has none, or the network has another graph.
    pub fn load_average(&mut self, network: Network) {
        assert!(network.graph() == self.network.graph(), "a network of another graph");
        let (_, average) = self.average.as_mut().expect(NO_AVERAGE);
        *average = network;
        self.eval_is_current = false;
    }

    /// The present average, if there is one.
    pub fn average(&self) -> Option<&Network> {
        self.average.as_ref().map(|(_, average)| average)
    }

    /// Moves the average: `average = decay average + (1 - decay) network`. In lookahead the network
    /// takes its values then. The running statistics are averaged too.
    ///
    /// # Panics
    /// If the engine has none.
    pub fn update_average(&mut self, decay: f64) {
        let (kind, average) = self.average.as_mut().expect(NO_AVERAGE);
        let [values, running] = average.all_values_mut();
        average::update(&self.cpu, decay, values, self.network.values());
        average::update(&self.cpu, decay, running, self.network.running_values());
        if kind.is_ema() {
            average.copy_batches_tracked(&self.network);
        } else {
            let [values, running] = self.network.all_values_mut();
            values.copy_from_slice(average.values());
            running.copy_from_slice(average.running_values());
        }
        self.eval_is_current = false;
    }

    /// The network that is evaluated and exported: an EMA, or else the present network.
    pub fn evaluated(&self) -> &Network {
        evaluated(&self.network, &self.average)
    }

    /// The running statistics, in the order of [`Network::running_values`], and the `num_batches_tracked` of each
    /// batch norm: to be combined with those of other parts of a batch.
    pub fn running_mut(&mut self) -> (&mut [f32], &mut [i64]) {
        self.eval_is_current = false;
        self.network.running_mut()
    }

    /// The present network, and what the optimiser keeps.
    pub fn store(&self) -> (&Network, &OptimizerBuffers) {
        (&self.network, &self.optimizer.buffers)
    }

    /// The summary of a training step. [`Hooks::done`] names its operations by their index; the
    /// update is the last.
    pub fn plan_summary(&self) -> PlanSummary {
        self.train.summary()
    }

    /// Forward, loss and backward of a micro-batch. Its gradients are added to those since the last
    /// update, and its batch statistics update the running statistics.
    ///
    /// # Panics
    /// If the micro-batch has more images than [`EngineConfig::batch`] or than its input, or a
    /// label is not below the number of classes.
    pub fn backward(&mut self, micro_batch: MicroBatch<'_>, hooks: &mut dyn Hooks) -> StepResult {
        self.eval_is_current = false;
        let accumulate = self.under_way;
        let result =
            self.train.step(&mut self.network, &mut self.gradients, accumulate, micro_batch, hooks);
        // Only now: the step above may panic.
        self.under_way = true;
        result
    }

    /// Updates the parameters at a learning rate, or at those of the optimiser and Muon. The next micro-batch
    /// begins a new batch.
    ///
    /// # Panics
    /// If there was no micro-batch since the last update, or the engine has Muon and its rate is missing.
    pub fn apply(&mut self, rates: impl Into<Rates>) {
        assert!(self.under_way, "an update needs the gradients of a micro-batch");
        let Engine { cpu, network, gradients, .. } = self;
        let Rates { lr, muon: rate } = rates.into();
        if let Some(muon) = &mut self.muon {
            let momentum = &mut self.optimizer.buffers.values[0];
            muon.step(cpu, network, momentum, gradients, rate.expect("the rate of Muon"));
        }
        self.optimizer.step(cpu, network, gradients, lr);
        (self.under_way, self.eval_is_current) = (false, false);
    }

    /// Logits `[images][classes]` of [`Engine::evaluated`], with running statistics (PyTorch's
    /// `net.eval()`).
    ///
    /// # Panics
    /// If `images` is 0 or above [`EngineConfig::eval_batch`], or the input has fewer.
    pub fn evaluate(&mut self, input: Input<'_>, images: usize) -> &[f32] {
        self.load_evaluated();
        let graph = self.network.graph();
        let classes = graph.classes();
        let most = self.logits.len() / classes;
        assert!((1..=most).contains(&images), "{images} images in an engine for {most}");
        if images <= self.eval.batch() {
            return self.eval.forward(input, images);
        }
        let at_once = self.eval.batch();
        let one = match input {
            Input::Bytes(..) | Input::Nchw(_) => self.image_len,
            Input::Features(_) => self.features_len(),
        };
        for first in (0..images).step_by(at_once) {
            let count = at_once.min(images - first);
            let logits = self.eval.forward(input.skip(first * one), count);
            self.logits[first * classes..][..logits.len()].copy_from_slice(logits);
        }
        &self.logits[..images * classes]
    }

    /// Values of an image among the features: the inputs of the head, padded.
    pub fn features_len(&self) -> usize {
        self.train.program().head().features
    }

    /// What enters the head for some images in training, `[images][features_len]`: [`Input::Features`] for
    /// [`Engine::backward`], while everything before the head is frozen and its batch norms use their running
    /// statistics ([`Engine::replan`]). In fp32 an image's features are the same in every batch.
    ///
    /// # Panics
    /// If there are more images than [`EngineConfig::batch`], or the input has fewer.
    pub fn features(&mut self, input: Input<'_>, images: usize) -> Vec<f32> {
        self.eval_is_current = false;
        self.train.features(&mut self.network, input, images)
    }

    /// What enters the head for some images in evaluation, `[images][features_len]`: [`Input::Features`] for
    /// [`Engine::evaluate`].
    ///
    /// # Panics
    /// If the input has fewer images.
    pub fn evaluated_features(&mut self, input: Input<'_>, images: usize) -> Vec<f32> {
        self.load_evaluated();
        let (at_once, one) = (self.eval.batch(), self.image_len);
        let mut features = Vec::with_capacity(images * self.features_len());
        for first in (0..images).step_by(at_once) {
            let count = at_once.min(images - first);
            features.extend(self.eval.features(input.skip(first * one), count));
        }
        features
    }

    /// Loads the network that is evaluated, if it has changed.
    fn load_evaluated(&mut self) {
        if !std::mem::replace(&mut self.eval_is_current, true) {
            self.eval.load(evaluated(&self.network, &self.average));
        }
    }
}

/// Why an average cannot be moved or replaced.
const NO_AVERAGE: &str = "the engine keeps an average";

/// How many times as many values as parameters an engine has beside them: gradients, what the optimiser
/// keeps, and the average.
fn copies(config: &EngineConfig) -> usize {
    1 + config.optimizer.buffers().len() + usize::from(config.average.is_some())
}

/// The network that is evaluated, of an engine's network and average.
fn evaluated<'a>(network: &'a Network, average: &'a Option<(Average, Network)>) -> &'a Network {
    match average {
        Some((kind, average)) if kind.is_ema() => average,
        _ => network,
    }
}
