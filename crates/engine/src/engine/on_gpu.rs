//! The engine on a GPU.

use std::{ops::Range, time::Instant};

use resnet_gpu::{Gpu, GpuEngine, Rule, Settings, UpdateRange};
use resnet_kernels::layout::padded;
use resnet_network::{
    Network,
    crops::KeptImages,
    graph::{Graph, NodeId},
    optim::{AdamWConfig, Average, OptimizerConfig, Rates, SgdConfig},
};
use resnet_program::{Input, MicroBatch, PlanError, StepResult};

use super::{
    config::{EngineConfig, NO_AVERAGE},
    mirror::{Held, Mirror},
};
use crate::{
    EngineError,
    muon::{MuonWeights, rate_of_others},
    optim::{OptimizerBuffers, ParamGroups, Update},
    plan_summary::PlannedOperation,
    profile::Profiler,
};

fn settings(config: &EngineConfig) -> Settings {
    let EngineConfig { dtype, batch, eval_batch, height, width, optimizer, .. } = *config;
    Settings {
        dtype,
        batch,
        eval_batch,
        height,
        width,
        buffers: optimizer.buffers().len(),
        muon: config.muon.is_some(),
        norm_momentum: config.batch_norm_momentum,
        average: config.average.is_some(),
    }
}

/// Trains a network on a GPU: what [`Engine`](super::Engine) does there.
#[derive(Debug)]
pub(super) struct GpuTrainer {
    engine: GpuEngine,
    graph: Graph,
    groups: ParamGroups,
    muon: Option<MuonWeights>,
    average: Option<Average>,
    mirror: Mirror,
}

impl GpuTrainer {
    pub(super) fn new(
        network: Network,
        config: &EngineConfig,
        gpu: &Gpu,
    ) -> Result<Self, EngineError> {
        let optimizer = config.optimizer;
        let engine = GpuEngine::new(gpu, &network, &settings(config))?;
        let groups = ParamGroups::new(&network, optimizer);
        let buffers = OptimizerBuffers::new(&network, &optimizer);
        let average = config.average.map(|_| network.clone());
        let graph = network.graph().clone();
        let muon = config.muon.map(|muon| MuonWeights::new(&network, muon));
        let mirror = Mirror::new(Held { network, buffers, average });
        let mut trainer =
            GpuTrainer { engine, graph, groups, muon, average: config.average, mirror };
        trainer.set_rates(|_| 1.0);
        Ok(trainer)
    }

    /// As [`Engine::largest_batch`](super::Engine::largest_batch).
    pub(super) fn largest_batch(
        graph: &Graph,
        config: &EngineConfig,
        kept: usize,
        gpu: &Gpu,
    ) -> Result<usize, EngineError> {
        graph.check().map_err(PlanError::from)?;
        graph.shapes(config.height, config.width).map_err(PlanError::from)?;
        let network = Network::zeros(graph.clone());
        Ok(GpuEngine::largest_batch(gpu, &network, &settings(config), kept)?)
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(super) fn load(&mut self, network: Network, buffers: OptimizerBuffers) {
        assert!(buffers.fit(&network, self.groups.config()), "buffers of another optimiser");
        self.engine.load(&network, &buffers.values);
        let average = self.average.map(|_| network.clone());
        self.mirror = Mirror::new(Held { network, buffers, average });
    }

    pub(super) fn replan(
        &mut self,
        height: usize,
        width: usize,
        frozen: &[NodeId],
        eval: &[NodeId],
    ) -> Result<(), EngineError> {
        Ok(self.engine.replan(height, width, frozen, eval)?)
    }

    pub(super) fn keep_images(&mut self, images: &KeptImages<'_>) -> Result<bool, EngineError> {
        Ok(self.engine.keep_images(images)?)
    }

    pub(super) fn set_rates(&mut self, factor: impl Fn(NodeId) -> f32) {
        let of_others = rate_of_others(&self.graph, self.muon.is_some(), &factor);
        self.groups.set_rates(&self.mirror.held_mut().network, of_others);
        if let Some(muon) = &mut self.muon {
            muon.set_rates(factor);
        }
    }

    pub(super) fn load_average(&mut self, network: Network) {
        self.engine.load_average(&network);
        *self.mirror.held_mut().average.as_mut().expect(NO_AVERAGE) = network;
    }

    pub(super) fn average(&self) -> Result<Option<&Network>, EngineError> {
        Ok(self.mirror.get(&self.engine)?.average.as_ref())
    }

    pub(super) fn update_average(&mut self, decay: f64) -> Result<(), EngineError> {
        let is_ema = self.average.expect(NO_AVERAGE).is_ema();
        self.mirror.outdated();
        Ok(self.engine.update_average(decay, !is_ema)?)
    }

    fn evaluates_average(&self) -> bool {
        self.average.is_some_and(|average| average.is_ema())
    }

    pub(super) fn evaluated(&self) -> Result<&Network, EngineError> {
        let Held { network, average, .. } = self.mirror.get(&self.engine)?;
        Ok(average.as_ref().filter(|_| self.evaluates_average()).unwrap_or(network))
    }

    pub(super) fn store(&self) -> Result<(&Network, &OptimizerBuffers), EngineError> {
        let Held { network, buffers, .. } = self.mirror.get(&self.engine)?;
        Ok((network, buffers))
    }

    pub(super) fn begin(
        &mut self,
        micro_batch: MicroBatch<'_>,
        accumulate: bool,
    ) -> Result<(), EngineError> {
        self.mirror.outdated();
        Ok(self.engine.backward(micro_batch, accumulate)?)
    }

    pub(super) fn operations(&self) -> Vec<PlannedOperation> {
        let operations = self.engine.program().operations.iter();
        operations.map(|operation| (operation.clone(), None).into()).collect()
    }

    /// A step by the device's clock. It has none for the update.
    pub(super) fn timed_step(
        &mut self,
        micro_batch: MicroBatch<'_>,
        rates: Rates,
        profiler: &mut Profiler,
    ) -> Result<StepResult, EngineError> {
        assert_eq!(self.engine.outstanding(), 0, "a result was not taken");
        self.mirror.outdated();
        let mut times = self.engine.timed_backward(micro_batch)?;
        let start = Instant::now();
        self.apply(rates)?;
        self.engine.idle()?;
        if let Some(update) = times.last_mut() {
            *update = start.elapsed();
        }
        profiler.add(&times);
        Ok(self.engine.result()?)
    }

    pub(super) fn result(&mut self) -> Result<StepResult, EngineError> {
        assert!(self.engine.outstanding() > 0, "a result of no micro-batch");
        Ok(self.engine.result()?)
    }

    pub(super) fn apply(&mut self, Rates { lr, muon: rate }: Rates) -> Result<(), EngineError> {
        if let Some(muon) = &self.muon {
            for (range, _, update) in muon.updates(rate) {
                self.engine.update_by_muon(&range, update)?;
            }
        }
        let rule = match *self.groups.config() {
            OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, .. }) => {
                Rule::Sgd { momentum, nesterov }
            }
            OptimizerConfig::AdamW(AdamWConfig { betas, eps, .. }) => Rule::AdamW { betas, eps },
        };
        let mut ranges = Vec::new();
        let steps = &mut self.mirror.outdated().buffers.steps;
        self.groups.updates(lr, steps, |Update { range, lr, weight_decay, step }| {
            ranges.push(UpdateRange { range, lr, weight_decay, step });
        });
        Ok(self.engine.update(rule, &ranges)?)
    }

    pub(super) fn evaluate(
        &mut self,
        input: Input<'_>,
        images: usize,
    ) -> Result<&[f32], EngineError> {
        let of_average = self.evaluates_average();
        Ok(self.engine.evaluate(of_average, input, images)?)
    }

    pub(super) fn features_len(&self) -> usize {
        let nodes = self.graph.nodes();
        let head = nodes.last().expect("a network ends in a linear layer");
        padded(nodes[head.inputs[0]].channels)
    }

    pub(super) fn features(
        &mut self,
        input: Input<'_>,
        images: usize,
    ) -> Result<Vec<f32>, EngineError> {
        Ok(self.engine.features(input, images)?)
    }

    pub(super) fn evaluated_features(
        &mut self,
        input: Input<'_>,
        images: usize,
    ) -> Result<Vec<f32>, EngineError> {
        let of_average = self.evaluates_average();
        Ok(self.engine.evaluated_features(of_average, input, images)?)
    }

    pub(super) fn scale_gradients(&mut self, factor: f32) -> Result<(), EngineError> {
        Ok(self.engine.scale_gradients(factor)?)
    }

    pub(super) fn clip_grad_norm(&mut self, max_norm: f64) -> Result<(), EngineError> {
        let of_muon = self.muon.iter().flat_map(MuonWeights::trained);
        let trained: Vec<Range<usize>> = self.groups.trained().chain(of_muon).collect();
        self.engine.clip_grad_norm(&trained, max_norm)?;
        Ok(())
    }
}
