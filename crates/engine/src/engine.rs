//! The engine: trains and evaluates a network. It is the interface between the training loop and
//! the arithmetic.

mod config;
mod features;
mod gradients;
mod kept_images;
mod memory;
#[cfg(feature = "gpu")]
mod mirror;
mod on_cpu;
#[cfg(feature = "gpu")]
mod on_gpu;

use resnet_network::{
    Network,
    graph::{Graph, NodeId},
    optim::Rates,
};
use resnet_program::{Input, MicroBatch, StepResult};

pub use self::config::EngineConfig;
use self::on_cpu::CpuEngine;
#[cfg(feature = "gpu")]
use self::on_gpu::GpuTrainer;
use crate::{
    Device, EngineError,
    hooks::Hooks,
    optim::OptimizerBuffers,
    plan_summary::{PlanSummary, PlannedOperation},
    profile::Profiler,
};

/// Trains a network on a device, the processor or a GPU. It owns the parameters, their gradients, the
/// running statistics and the optimiser's state.
///
/// A training step is one call of [`Engine::backward`] for each micro-batch, then one of
/// [`Engine::apply`]. This is PyTorch's gradient accumulation: gradients add up in the order of the
/// calls. A micro-batch is a whole batch or a part of one, which on the processor may be empty.
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
/// let first = engine.backward(MicroBatch::whole(Input::Nchw(&images), targets), &mut ())?;
/// engine.apply(0.01)?;
/// let second = engine.backward(MicroBatch::whole(Input::Nchw(&images), targets), &mut ())?;
/// assert!(second.loss < first.loss);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A call fails if the GPU was lost, or cannot do what is asked. The engine can then not be used, unless the error
/// is [`EngineError::CpuOnly`]; what was stored before stays good. On the processor only [`Engine::new`] and
/// [`Engine::replan`] fail.
#[derive(Debug)]
pub struct Engine {
    on: On,
    /// Whether there are gradients of earlier micro-batches.
    under_way: bool,
    eval_batch: usize,
}

/// What computes.
#[derive(Debug)]
enum On {
    Cpu(Box<CpuEngine>),
    #[cfg(feature = "gpu")]
    Gpu(Box<GpuTrainer>),
}

/// The same call on whatever computes: an expression for the processor, and one for a GPU.
macro_rules! on {
    ($engine:expr, $it:ident => $on_cpu:expr, $on_gpu:expr) => {
        match $engine {
            On::Cpu($it) => $on_cpu,
            #[cfg(feature = "gpu")]
            On::Gpu($it) => $on_gpu,
        }
    };
}
use on;

impl Engine {
    /// An engine for a network, before its first step.
    ///
    /// # Errors
    /// If the graph does not fit the image size, breaks a [rule](Graph::check), or needs more
    /// memory than is available; or if the device cannot be used, or is a GPU and does not have a setting.
    pub fn new(
        network: Network,
        config: &EngineConfig,
        device: impl Into<Device>,
    ) -> Result<Self, EngineError> {
        let on = match device.into() {
            Device::Cpu(cpu) => On::Cpu(CpuEngine::new(network, config, &cpu)?.into()),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => On::Gpu(GpuTrainer::new(network, config, &gpu)?.into()),
        };
        Ok(Engine { on, under_way: false, eval_batch: config.eval_batch })
    }

    /// The graph of its network.
    pub fn graph(&self) -> &Graph {
        on!(&self.on, it => it.graph(), it.graph())
    }

    /// Replaces parameters, running statistics and what the optimiser keeps, and drops the gradients so
    /// far. An average starts again, from this network.
    ///
    /// # Panics
    /// If the network has another graph, or the buffers are of another network or optimiser.
    pub fn load(&mut self, network: Network, buffers: OptimizerBuffers) {
        assert!(network.graph() == self.graph(), "a network of another graph");
        self.under_way = false;
        on!(&mut self.on, it => it.load(network, buffers), it.load(network, buffers));
    }

    /// Plans the next steps: for training images of `height` x `width`, without the gradients that only
    /// the parameters of `frozen` nodes need, and with the running statistics in the batch norms `eval`, which
    /// do not move them. Evaluation stays as it is. The memory of earlier
    /// plans is used again; smaller images need no more.
    ///
    /// Frozen parameters have no gradient: give them the rate 0 too ([`Engine::set_rates`]), or momentum and weight decay
    /// still move them.
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
    ) -> Result<(), EngineError> {
        assert!(!self.under_way, "a batch is under way");
        on!(
            &mut self.on,
            it => Ok(it.replan(height, width, frozen, eval)?),
            it.replan(height, width, frozen, eval)
        )
    }

    /// From now on, the rate of a node's parameters is that of the optimiser's settings times `factor`;
    /// with 0 they stay as they are.
    pub fn set_rates(&mut self, factor: impl Fn(NodeId) -> f32) {
        on!(&mut self.on, it => it.set_rates(factor), it.set_rates(factor));
    }

    /// Replaces the average.
    ///
    /// # Panics
    /// If the engine has none, or the network has another graph.
    pub fn load_average(&mut self, network: Network) {
        assert!(network.graph() == self.graph(), "a network of another graph");
        on!(&mut self.on, it => it.load_average(network), it.load_average(network));
    }

    /// The present average, if there is one.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    pub fn average(&self) -> Result<Option<&Network>, EngineError> {
        on!(&self.on, it => Ok(it.average()), it.average())
    }

    /// Moves the average: `average = decay average + (1 - decay) network`. In lookahead the network
    /// takes its values then. The running statistics are averaged too.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    ///
    /// # Panics
    /// If the engine has none.
    pub fn update_average(&mut self, decay: f64) -> Result<(), EngineError> {
        on!(&mut self.on, it => { it.update_average(decay); Ok(()) }, it.update_average(decay))
    }

    /// The network that is evaluated and exported: an EMA, or else the present network.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    pub fn evaluated(&self) -> Result<&Network, EngineError> {
        on!(&self.on, it => Ok(it.evaluated()), it.evaluated())
    }

    /// The present network, and what the optimiser keeps. A GPU's are brought once after each change.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    pub fn store(&self) -> Result<(&Network, &OptimizerBuffers), EngineError> {
        on!(&self.on, it => Ok(it.store()), it.store())
    }

    /// The summary of a training step. [`Hooks::done`] names its operations by their index; the
    /// update is the last.
    ///
    /// # Errors
    /// On a GPU.
    pub fn plan_summary(&self) -> Result<PlanSummary, EngineError> {
        let engine = self.on_cpu().ok_or(EngineError::CpuOnly("the summary of a plan"))?;
        Ok(engine.plan_summary())
    }

    /// The operations of a training step, of which the update is the last: what a [`Profiler`] is made of.
    pub fn operations(&self) -> Vec<PlannedOperation> {
        on!(&self.on, it => it.operations(), it.operations())
    }

    /// A whole step: [`Engine::backward`] and [`Engine::apply`] of a whole batch. Each of its operations is timed, on a
    /// GPU by the GPU's clock.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    ///
    /// # Panics
    /// As these, or if a batch is under way.
    pub fn timed_step(
        &mut self,
        batch: MicroBatch<'_>,
        rates: impl Into<Rates>,
        profiler: &mut Profiler,
    ) -> Result<StepResult, EngineError> {
        assert!(!self.under_way, "a batch is under way");
        let rates = rates.into();
        on!(
            &mut self.on,
            it => Ok(it.timed_step(batch, rates, profiler)),
            it.timed_step(batch, rates, profiler)
        )
    }

    /// Forward, loss and backward of a micro-batch. Its gradients are added to those since the last
    /// update, and its batch statistics update the running statistics.
    ///
    /// # Errors
    /// If the GPU was lost. On a GPU also if there are hooks: it calls none, and computes nothing then.
    ///
    /// # Panics
    /// If the micro-batch has more images than [`EngineConfig::batch`] or than its input, or none on a GPU; if a
    /// label is not below the number of classes, or [`Engine::begin`] has begun one whose result was not taken.
    pub fn backward(
        &mut self,
        micro_batch: MicroBatch<'_>,
        hooks: &mut dyn Hooks,
    ) -> Result<StepResult, EngineError> {
        match self.begin(micro_batch, hooks)? {
            Some(result) => Ok(result),
            None => self.result(),
        }
    }

    /// [`Engine::backward`] without waiting for a GPU: there the result is none, and comes with
    /// [`Engine::result`]. The next calls, [`Engine::apply`] among them, need not wait for it.
    ///
    /// # Errors
    /// As [`Engine::backward`].
    ///
    /// # Panics
    /// As [`Engine::backward`].
    pub fn begin(
        &mut self,
        micro_batch: MicroBatch<'_>,
        hooks: &mut dyn Hooks,
    ) -> Result<Option<StepResult>, EngineError> {
        let accumulate = self.under_way;
        let result = on!(
            &mut self.on,
            it => Some(it.backward(micro_batch, accumulate, hooks)),
            if hooks.is_noop() {
                it.begin(micro_batch, accumulate).map(|()| None)?
            } else {
                return Err(EngineError::CpuOnly("a step with hooks"));
            }
        );
        // Only now: the step above may panic.
        self.under_way = true;
        Ok(result)
    }

    /// The result of the oldest micro-batch that [`Engine::begin`] gave none for. Waits for the GPU.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    ///
    /// # Panics
    /// If there is no such micro-batch.
    pub fn result(&mut self) -> Result<StepResult, EngineError> {
        match &mut self.on {
            On::Cpu(_) => panic!("the processor gives results at once"),
            #[cfg(feature = "gpu")]
            On::Gpu(engine) => engine.result(),
        }
    }

    /// Updates the parameters at a learning rate, or at those of the optimiser and Muon. The next micro-batch
    /// begins a new batch.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    ///
    /// # Panics
    /// If there was no micro-batch since the last update, or the engine has Muon and its rate is missing.
    pub fn apply(&mut self, rates: impl Into<Rates>) -> Result<(), EngineError> {
        assert!(self.under_way, "an update needs the gradients of a micro-batch");
        self.under_way = false;
        let rates = rates.into();
        on!(&mut self.on, it => { it.apply(rates); Ok(()) }, it.apply(rates))
    }

    /// Logits `[images][classes]` of [`Engine::evaluated`], with running statistics (PyTorch's
    /// `net.eval()`).
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    ///
    /// # Panics
    /// If `images` is 0 or above [`EngineConfig::eval_batch`], or the input has fewer.
    pub fn evaluate(&mut self, input: Input<'_>, images: usize) -> Result<&[f32], EngineError> {
        let most = self.eval_batch;
        assert!((1..=most).contains(&images), "{images} images in an engine for {most}");
        on!(&mut self.on, it => Ok(it.evaluate(input, images)), it.evaluate(input, images))
    }

    /// The engine on the processor, if that computes.
    fn on_cpu(&self) -> Option<&CpuEngine> {
        match &self.on {
            On::Cpu(engine) => Some(engine),
            #[cfg(feature = "gpu")]
            On::Gpu(_) => None,
        }
    }

    fn on_cpu_mut(&mut self) -> Option<&mut CpuEngine> {
        match &mut self.on {
            On::Cpu(engine) => Some(engine),
            #[cfg(feature = "gpu")]
            On::Gpu(_) => None,
        }
    }
}
