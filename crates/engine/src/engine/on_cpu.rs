//! The engine on the processor.

use std::ops::Range;

use resnet_kernels::{Cpu, Dtype, average, norm};
use resnet_network::{
    Network,
    graph::{Graph, NodeId},
    optim::{Average, Rates},
};
use resnet_program::{
    Input, MicroBatch, PlanError, StepResult,
    lower::Lowering,
    memory::{check, zeros},
    program::Program,
};

use super::config::{EngineConfig, NO_AVERAGE};
use crate::{
    cpu::{EvalPlan, Prepared, TrainPlan},
    hooks::Hooks,
    muon::{self, Muon, rate_of_others},
    optim::{Optimizer, OptimizerBuffers},
    plan_summary::{PlanSummary, PlannedOperation},
    profile::Profiler,
};

/// Trains a network on the processor: what [`Engine`](super::Engine) does there.
#[derive(Debug)]
pub(super) struct CpuEngine {
    cpu: Cpu,
    network: Network,
    optimizer: Optimizer,
    muon: Option<Muon>,
    /// The average, with its kind.
    average: Option<(Average, Network)>,
    gradients: Vec<f32>,
    /// Scratch for their norm.
    norm_scratch: Vec<f32>,
    train: TrainPlan,
    eval: EvalPlan,
    logits: Vec<f32>,
    /// Whether `eval` has loaded the present network.
    eval_is_current: bool,
    /// Values of an input image.
    image_len: usize,
}

impl CpuEngine {
    pub(super) fn new(
        network: Network,
        config: &EngineConfig,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let (graph, parameters) = (network.graph(), network.values().len());
        let EngineConfig { eval_batch, height, width, optimizer, .. } = *config;
        let copies = config.copies();
        let (train, eval) = CpuEngine::prepare(graph, config, copies * parameters, cpu)?;
        let muon = config.muon.map(|muon| Muon::new(&network, muon, cpu)).transpose()?;
        let mut train = TrainPlan::build(graph, train, cpu)?;
        train.norm_momentum = config.batch_norm_momentum;
        let mut engine = CpuEngine {
            cpu: cpu.clone(),
            train,
            logits: zeros(eval_batch * graph.classes())?,
            eval: EvalPlan::build(graph, eval, cpu)?,
            eval_is_current: false,
            image_len: graph.in_channels() * height * width,
            gradients: zeros(parameters)?,
            norm_scratch: zeros(norm::scratch_len(parameters))?,
            optimizer: Optimizer::new(&network, optimizer),
            muon,
            average: config.average.map(|average| (average, network.clone())),
            network,
        };
        engine.set_rates(|_| 1.0);
        Ok(engine)
    }

    pub(super) fn check(
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
        let copies = 1 + config.copies();
        let values = (copies * parameters.sum::<usize>()).saturating_add(kept.div_ceil(4));
        CpuEngine::prepare(graph, config, values, cpu).map(drop)
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

    pub(super) fn graph(&self) -> &Graph {
        self.network.graph()
    }

    pub(super) fn load(&mut self, network: Network, buffers: OptimizerBuffers) {
        assert!(buffers.fit(&network, self.optimizer.config()), "buffers of another optimiser");
        if let Some((_, average)) = &mut self.average {
            average.clone_from(&network);
        }
        self.network = network;
        self.optimizer.buffers = buffers;
        self.eval_is_current = false;
    }

    pub(super) fn replan(
        &mut self,
        height: usize,
        width: usize,
        frozen: &[NodeId],
        eval: &[NodeId],
    ) -> Result<(), PlanError> {
        let Program { dtype, batch, .. } = *self.train.program();
        let graph = self.network.graph();
        let lowering = Lowering { graph, dtype, batch, height, width, frozen, eval };
        self.train.replan(TrainPlan::prepare(lowering, &self.cpu)?)
    }

    pub(super) fn set_rates(&mut self, factor: impl Fn(NodeId) -> f32) {
        let graph = self.network.graph();
        let of_others = rate_of_others(graph, self.muon.is_some(), &factor);
        self.optimizer.set_rates(&self.network, of_others);
        if let Some(muon) = &mut self.muon {
            muon.weights.set_rates(factor);
        }
    }

    pub(super) fn load_average(&mut self, network: Network) {
        let (_, average) = self.average.as_mut().expect(NO_AVERAGE);
        *average = network;
        self.eval_is_current = false;
    }

    pub(super) fn average(&self) -> Option<&Network> {
        self.average.as_ref().map(|(_, average)| average)
    }

    pub(super) fn update_average(&mut self, decay: f64) {
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

    pub(super) fn evaluated(&self) -> &Network {
        evaluated(&self.network, &self.average)
    }

    pub(super) fn running_mut(&mut self) -> (&mut [f32], &mut [i64]) {
        self.eval_is_current = false;
        self.network.running_mut()
    }

    pub(super) fn store(&self) -> (&Network, &OptimizerBuffers) {
        (&self.network, &self.optimizer.buffers)
    }

    pub(super) fn operations(&self) -> Vec<PlannedOperation> {
        self.train.summary().operations
    }

    pub(super) fn timed_step(
        &mut self,
        micro_batch: MicroBatch<'_>,
        rates: Rates,
        profiler: &mut Profiler,
    ) -> StepResult {
        profiler.begin();
        let result = self.backward(micro_batch, false, profiler);
        self.apply(rates);
        profiler.updated();
        result
    }

    pub(super) fn plan_summary(&self) -> PlanSummary {
        self.train.summary()
    }

    pub(super) fn backward(
        &mut self,
        micro_batch: MicroBatch<'_>,
        accumulate: bool,
        hooks: &mut dyn Hooks,
    ) -> StepResult {
        self.eval_is_current = false;
        self.train.step(&mut self.network, &mut self.gradients, accumulate, micro_batch, hooks)
    }

    pub(super) fn apply(&mut self, Rates { lr, muon: rate }: Rates) {
        let CpuEngine { cpu, network, gradients, .. } = self;
        if let Some(muon) = &mut self.muon {
            let momentum = &mut self.optimizer.buffers.values[0];
            muon.step(cpu, network, momentum, gradients, rate);
        }
        self.optimizer.step(cpu, network, gradients, lr);
        self.eval_is_current = false;
    }

    pub(super) fn evaluate(&mut self, input: Input<'_>, images: usize) -> &[f32] {
        self.load_evaluated();
        let graph = self.network.graph();
        let classes = graph.classes();
        if images <= self.eval.batch() {
            return self.eval.forward(input, images);
        }
        let at_once = self.eval.batch();
        let one = match input {
            Input::Bytes(..) | Input::Crops(..) | Input::Nchw(_) => self.image_len,
            Input::Features(_) => self.features_len(),
        };
        for first in (0..images).step_by(at_once) {
            let count = at_once.min(images - first);
            let logits = self.eval.forward(input.skip(first * one), count);
            self.logits[first * classes..][..logits.len()].copy_from_slice(logits);
        }
        &self.logits[..images * classes]
    }

    pub(super) fn features_len(&self) -> usize {
        self.train.program().head().features
    }

    pub(super) fn features(&mut self, input: Input<'_>, images: usize) -> Vec<f32> {
        self.eval_is_current = false;
        self.train.features(&mut self.network, input, images)
    }

    pub(super) fn evaluated_features(&mut self, input: Input<'_>, images: usize) -> Vec<f32> {
        self.load_evaluated();
        let (at_once, one) = (self.eval.batch(), self.image_len);
        let mut features = Vec::with_capacity(images * self.features_len());
        for first in (0..images).step_by(at_once) {
            let count = at_once.min(images - first);
            features.extend(self.eval.features(input.skip(first * one), count));
        }
        features
    }

    pub(super) fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    pub(super) fn gradients_mut(&mut self) -> &mut [f32] {
        &mut self.gradients
    }

    pub(super) fn take_gradients(&mut self, memory: &mut Vec<f32>) {
        assert_eq!(memory.len(), self.gradients.len(), "memory for other gradients");
        std::mem::swap(memory, &mut self.gradients);
    }

    pub(super) fn scale_gradients(&mut self, factor: f32) {
        norm::scale(&self.cpu, factor, &mut self.gradients);
    }

    pub(super) fn clip_grad_norm(&mut self, max_norm: f64) {
        let CpuEngine { cpu, gradients, norm_scratch, .. } = self;
        let of_muon = self.muon.iter().flat_map(|muon| muon.weights.trained());
        let trained: Vec<Range<usize>> = self.optimizer.trained().chain(of_muon).collect();
        let squares = trained.iter().map(|range| {
            let scratch = &mut norm_scratch[..norm::scratch_len(range.len())];
            norm::sum_of_squares(cpu, &gradients[range.clone()], scratch)
        });
        let total = squares.sum::<f64>().sqrt();
        let factor = max_norm / (total + 1e-6);
        if factor < 1.0 {
            for range in trained {
                norm::scale(cpu, factor as f32, &mut gradients[range]);
            }
        }
    }

    /// Loads the network that is evaluated, if it has changed.
    fn load_evaluated(&mut self) {
        if !std::mem::replace(&mut self.eval_is_current, true) {
            self.eval.load(evaluated(&self.network, &self.average));
        }
    }
}

/// The network that is evaluated, of an engine's network and average.
fn evaluated<'a>(network: &'a Network, average: &'a Option<(Average, Network)>) -> &'a Network {
    match average {
        Some((kind, average)) if kind.is_ema() => average,
        _ => network,
    }
}
