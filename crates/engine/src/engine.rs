//! Whoever runs a network in training: the one seam between training and arithmetic.

use resnet_kernels::{Cpu, Dtype};
use resnet_network::{Network, graph::Graph, optim::SgdConfig};

use crate::{
    batch::{Input, MicroBatch, StepResult},
    cpu::{EvalPlan, Prepared, TrainPlan},
    error::PlanError,
    hooks::Hooks,
    lower::Lowering,
    memory::{check, zeros},
    optim::Sgd,
    plan_summary::PlanSummary,
};

/// What an engine is built for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineConfig {
    /// How activations and their gradients are stored in training.
    pub dtype: Dtype,
    /// The largest part of a batch that is trained on at once.
    pub batch: usize,
    /// The largest batch that is evaluated in one call; its images take turns where all of them at
    /// once would take more than [`MICRO_BATCH_BYTES`](crate::MICRO_BATCH_BYTES) bytes.
    pub eval_batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// The optimiser.
    pub sgd: SgdConfig,
}

/// A network in training on this machine: owns parameters, the optimiser's state and running
/// statistics, and their gradients.
///
/// A step is one call of [`Engine::backward`] for each part of the batch, and one of
/// [`Engine::apply`]. Parts are shards of a batch, or what fits into memory at a time; they may be
/// empty, and gradients add up in the order of the calls.
///
/// ```
/// use resnet_engine::{Engine, EngineConfig, Input, MicroBatch, Targets};
/// use resnet_kernels::{Cpu, Dtype};
/// use resnet_network::{Arch, Network, network::Init, optim::SgdConfig};
///
/// let arch: Arch = "resnet8".parse()?;
/// let net = Network::new(arch.graph(10), Init::PyTorch, 0);
/// let sgd = SgdConfig {
///     momentum: 0.9, weight_decay: 5e-4, nesterov: false, decay_norm_and_bias: true,
/// };
/// let config = EngineConfig {
///     dtype: Dtype::Fp32, batch: 2, eval_batch: 2, height: 32, width: 32, sgd,
/// };
/// let mut engine = Engine::new(net, &config, &Cpu::new(2)?)?;
/// let images = vec![0.5; 2 * 3 * 32 * 32];
/// let targets = Targets { labels: &[3, 7], label_smoothing: 0.0 };
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
    optimizer: Sgd,
    gradients: Vec<f32>,
    /// Whether `gradients` holds those of earlier parts of the batch.
    under_way: bool,
    train: TrainPlan,
    eval: EvalPlan,
    logits: Vec<f32>,
    /// Whether `eval` has the network as it is now.
    eval_is_current: bool,
    /// Values of an image that is given.
    image_len: usize,
}

impl Engine {
    /// An engine for a network, whose optimiser has not stepped yet.
    ///
    /// # Errors
    /// If the graph does not fit the images, breaks a rule, or needs more memory than there is.
    pub fn new(network: Network, config: &EngineConfig, cpu: &Cpu) -> Result<Self, PlanError> {
        let (graph, parameters) = (network.graph(), network.values().len());
        let EngineConfig { eval_batch, height, width, sgd, .. } = *config;
        // Gradients and momentum.
        let (train, eval) = Engine::prepare(graph, config, 2 * parameters, cpu)?;
        Ok(Engine {
            cpu: cpu.clone(),
            train: TrainPlan::build(graph, train, cpu)?,
            logits: zeros(eval_batch * graph.classes())?,
            eval: EvalPlan::build(graph, eval, cpu)?,
            eval_is_current: false,
            image_len: graph.in_channels() * height * width,
            gradients: zeros(parameters)?,
            under_way: false,
            optimizer: Sgd::new(&network, sgd),
            network,
        })
    }

    /// Whether there is memory for an engine and its network, of which nothing is made yet.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn check(graph: &Graph, config: &EngineConfig, cpu: &Cpu) -> Result<(), PlanError> {
        let shapes = graph.shapes(config.height, config.width)?;
        let parameters = graph.nodes().iter().map(|node| {
            let inputs = node.inputs.first().map_or(0, |&input| shapes[input].channels);
            let (weights, biases) = node.parameters(inputs);
            weights + biases
        });
        Engine::prepare(graph, config, 3 * parameters.sum::<usize>(), cpu).map(drop)
    }

    /// What the plans are built of, unless they and so many more values are more than there is.
    fn prepare(
        graph: &Graph,
        config: &EngineConfig,
        values: usize,
        cpu: &Cpu,
    ) -> Result<(Prepared, Prepared), PlanError> {
        let EngineConfig { dtype, batch, eval_batch, height, width, .. } = *config;
        let train = Lowering { graph, dtype, batch, height, width };
        // What is kept of a training are fp32 weights, and their accuracy is what counts.
        let eval = Lowering { dtype: Dtype::Fp32, batch: eval_batch, ..train };
        let train = TrainPlan::prepare(train, cpu)?;
        let eval = EvalPlan::prepare_micro_batched(eval, eval_batch, cpu)?;
        let needed = [&train, &eval].map(|plan| plan.memory.without_tables());
        let needed = needed.into_iter().fold(size_of::<f32>() * values, usize::saturating_add);
        check(needed)?;
        Ok((train, eval))
    }

    /// Takes over parameters, running statistics and momentum; gradients of parts are forgotten.
    ///
    /// # Panics
    /// If the network has another graph, or the momentum another length than the parameters.
    pub fn load(&mut self, network: Network, momentum: Vec<f32>) {
        assert!(network.graph() == self.network.graph(), "a network of another graph");
        assert_eq!(momentum.len(), network.values().len(), "momentum of another network");
        self.network = network;
        self.optimizer.momentum_buffer = momentum;
        (self.under_way, self.eval_is_current) = (false, false);
    }

    /// The network as it is now, and its momentum in the order of its parameters.
    pub fn store(&self) -> (&Network, &[f32]) {
        (&self.network, &self.optimizer.momentum_buffer)
    }

    /// What a step consists of: [`Hooks::done`] names its operations by their index, the update last.
    pub fn plan_summary(&self) -> PlanSummary {
        self.train.summary()
    }

    /// Forward and backward of a part of a batch, which may be empty: adds its gradients to those
    /// of the parts since the last update, and its statistics to the running ones.
    ///
    /// # Panics
    /// If the part is larger than the engine's batch or than its images, or a label is no class.
    pub fn backward(&mut self, micro_batch: MicroBatch<'_>, hooks: &mut dyn Hooks) -> StepResult {
        self.eval_is_current = false;
        let accumulate = self.under_way;
        let result =
            self.train.step(&mut self.network, &mut self.gradients, accumulate, micro_batch, hooks);
        // Not before: a part may be refused.
        self.under_way = true;
        result
    }

    /// The gradients of the parts since the last update, in the order of the parameters.
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// The gradients, to be combined with those of others before the update.
    pub fn gradients_mut(&mut self) -> &mut [f32] {
        &mut self.gradients
    }

    /// The update, at a learning rate; the next part begins another batch.
    ///
    /// # Panics
    /// If there was no part since the last update: there are no gradients.
    pub fn apply(&mut self, lr: f32) {
        assert!(self.under_way, "an update needs the gradients of a part");
        self.optimizer.step(&self.cpu, &mut self.network, &self.gradients, lr);
        (self.under_way, self.eval_is_current) = (false, false);
    }

    /// Logits `[images][classes]` of the network as it is now, with running statistics.
    ///
    /// # Panics
    /// If there are no images, more than the engine's evaluation batch, or fewer values than they
    /// need.
    pub fn evaluate(&mut self, input: Input<'_>, images: usize) -> &[f32] {
        if !std::mem::replace(&mut self.eval_is_current, true) {
            self.eval.load(&self.network);
        }
        let graph = self.network.graph();
        let classes = graph.classes();
        let most = self.logits.len() / classes;
        assert!((1..=most).contains(&images), "{images} images in an engine for {most}");
        if images <= self.eval.batch() {
            return self.eval.forward(input, images);
        }
        let (at_once, one) = (self.eval.batch(), self.image_len);
        for first in (0..images).step_by(at_once) {
            let count = at_once.min(images - first);
            let logits = self.eval.forward(input.skip(first * one), count);
            self.logits[first * classes..][..logits.len()].copy_from_slice(logits);
        }
        &self.logits[..images * classes]
    }
}
