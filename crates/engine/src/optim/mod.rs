//! Optimisers: `torch.optim.SGD`, stochastic gradient descent with momentum, and `torch.optim.AdamW`.

use std::ops::Range;

use resnet_kernels::{Cpu, adamw, sgd};
pub use resnet_network::optim::{
    AdamWConfig, Average, Factors, GroupFactors, Muon, MuonRate, OptimizerConfig, Rates, SgdConfig,
};
use resnet_network::{Network, graph::NodeId};

/// What an optimiser keeps from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerBuffers {
    /// For each of [`OptimizerConfig::buffers`], values in the order of [`Network::values`]; zeros
    /// before the first step.
    pub values: Vec<Vec<f32>>,
    /// Updates of each parameter so far, in the order of [`Network::params`], if the optimiser
    /// [counts](OptimizerConfig::counts_steps) them: PyTorch's `step`.
    pub steps: Vec<u64>,
}

impl OptimizerBuffers {
    /// Those before the first step.
    pub fn new(net: &Network, config: &OptimizerConfig) -> Self {
        let values = vec![vec![0.0; net.values().len()]; config.buffers().len()];
        let steps = vec![0; if config.counts_steps() { net.params().len() } else { 0 }];
        OptimizerBuffers { values, steps }
    }

    /// Whether they are those of a network and an optimiser.
    pub fn fit(&self, net: &Network, config: &OptimizerConfig) -> bool {
        let counted = if config.counts_steps() { net.params().len() } else { 0 };
        self.values.len() == config.buffers().len()
            && self.values.iter().all(|values| values.len() == net.values().len())
            && self.steps.len() == counted
    }
}

/// Consecutive parameters of the arena with equal settings, as in PyTorch's `param_groups`.
#[derive(Clone, Debug)]
struct ParamGroup {
    /// Indices of [`Network::params`].
    params: Range<usize>,
    range: Range<usize>,
    /// Factor on the learning rate; 0 if the parameters are frozen.
    lr: f32,
    weight_decay: f32,
}

/// An optimiser: its settings, its parameter groups, and what it keeps from step to step.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    groups: Vec<ParamGroup>,
    /// What it keeps from step to step.
    pub buffers: OptimizerBuffers,
}

/// Parameters of equal settings, times a factor on each node's rate.
fn param_groups(
    net: &Network,
    config: &OptimizerConfig,
    factor: impl Fn(NodeId) -> f32,
) -> Vec<ParamGroup> {
    let mut groups: Vec<ParamGroup> = Vec::new();
    for (index, param) in net.params().iter().enumerate() {
        let factors = config.factors(net.graph(), param.node, param.kind);
        let lr = factors.lr * factor(param.node);
        let weight_decay = config.weight_decay_of(net.graph(), param.node, param.kind);
        match groups.last_mut() {
            Some(last) if (last.lr, last.weight_decay) == (lr, weight_decay) => {
                (last.params.end, last.range.end) = (index + 1, param.range.end);
            }
            _ => {
                let (params, range) = (index..index + 1, param.range.clone());
                groups.push(ParamGroup { params, range, lr, weight_decay });
            }
        }
    }
    groups
}

impl Optimizer {
    /// An optimiser before its first step.
    pub fn new(net: &Network, config: impl Into<OptimizerConfig>) -> Self {
        let config = config.into();
        let groups = param_groups(net, &config, |_| 1.0);
        Optimizer { groups, buffers: OptimizerBuffers::new(net, &config), config }
    }

    /// Its settings.
    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// From now on, the rate of a node's parameters is that of the settings times `factor`.
    pub fn set_rates(&mut self, net: &Network, factor: impl Fn(NodeId) -> f32) {
        self.groups = param_groups(net, &self.config, factor);
    }

    /// The ranges of the parameters that it updates, in the order of [`Network::values`].
    pub(crate) fn trained(&self) -> impl Iterator<Item = Range<usize>> {
        let trained = self.groups.iter().filter(|group| group.lr != 0.0);
        trained.map(|group| group.range.clone())
    }

    /// One update of a network's parameters. `gradients` are in the order of [`Network::values`];
    /// those of frozen parameters are not read.
    ///
    /// # Panics
    /// If there is not a gradient for each parameter.
    pub fn step(&mut self, cpu: &Cpu, net: &mut Network, gradients: &[f32], lr: f32) {
        for group in self.groups.iter().filter(|group| group.lr != 0.0) {
            let ParamGroup { params, range, weight_decay, .. } = group;
            let (lr, weight_decay) = (lr * group.lr, *weight_decay);
            match (self.config, &mut self.buffers.values[..]) {
                (OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, .. }), [buffer]) => {
                    sgd::update(
                        cpu,
                        sgd::Update { lr, momentum, weight_decay, nesterov },
                        &mut net.values_mut()[range.clone()],
                        &mut buffer[range.clone()],
                        &gradients[range.clone()],
                    );
                }
                (OptimizerConfig::AdamW(AdamWConfig { betas, eps, .. }), [average, square]) => {
                    let steps = &mut self.buffers.steps[params.clone()];
                    steps.iter_mut().for_each(|step| *step += 1);
                    // Parameters that were frozen for a while have had fewer steps.
                    let mut first = params.start;
                    for equal in steps.chunk_by(|a, b| a == b) {
                        let end = first + equal.len();
                        let of = |index: usize| net.params()[index].range.clone();
                        let range = of(first).start..of(end - 1).end;
                        adamw::update(
                            cpu,
                            adamw::Update { lr, betas, eps, weight_decay, step: equal[0] },
                            &mut net.values_mut()[range.clone()],
                            &mut average[range.clone()],
                            &mut square[range.clone()],
                            &gradients[range],
                        );
                        first = end;
                    }
                }
                _ => unreachable!("an optimiser has its own buffers"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
