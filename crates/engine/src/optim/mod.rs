//! Optimisers: `torch.optim.SGD`, stochastic gradient descent with momentum, and `torch.optim.AdamW`.

mod groups;

use std::ops::Range;

use resnet_kernels::{Cpu, adamw, sgd};
pub use resnet_network::optim::{
    AdamWConfig, Average, Factors, GroupFactors, Muon, MuonRate, OptimizerConfig, Rates, SgdConfig,
};
use resnet_network::{Network, graph::NodeId};

pub(crate) use self::groups::{ParamGroups, Update};

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

/// An optimiser: its settings, its parameter groups, and what it keeps from step to step.
#[derive(Clone, Debug)]
pub struct Optimizer {
    groups: ParamGroups,
    /// What it keeps from step to step.
    pub buffers: OptimizerBuffers,
}

impl Optimizer {
    /// An optimiser before its first step.
    pub fn new(net: &Network, config: impl Into<OptimizerConfig>) -> Self {
        let config = config.into();
        let buffers = OptimizerBuffers::new(net, &config);
        Optimizer { groups: ParamGroups::new(net, config), buffers }
    }

    /// Its settings.
    pub fn config(&self) -> &OptimizerConfig {
        self.groups.config()
    }

    /// From now on, the rate of a node's parameters is that of the settings times `factor`.
    pub fn set_rates(&mut self, net: &Network, factor: impl Fn(NodeId) -> f32) {
        self.groups.set_rates(net, factor);
    }

    /// The ranges of the parameters that it updates, in the order of [`Network::values`].
    pub(crate) fn trained(&self) -> impl Iterator<Item = Range<usize>> {
        self.groups.trained()
    }

    /// One update of a network's parameters. `gradients` are in the order of [`Network::values`];
    /// those of frozen parameters are not read.
    ///
    /// # Panics
    /// If there is not a gradient for each parameter.
    pub fn step(&mut self, cpu: &Cpu, net: &mut Network, gradients: &[f32], lr: f32) {
        let OptimizerBuffers { values, steps } = &mut self.buffers;
        let (config, parameters) = (*self.groups.config(), net.values_mut());
        self.groups.updates(lr, steps, |Update { range, lr, weight_decay, step }| {
            match (config, &mut values[..]) {
                (OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, .. }), [buffer]) => {
                    sgd::update(
                        cpu,
                        sgd::Update { lr, momentum, weight_decay, nesterov },
                        &mut parameters[range.clone()],
                        &mut buffer[range.clone()],
                        &gradients[range],
                    );
                }
                (OptimizerConfig::AdamW(AdamWConfig { betas, eps, .. }), [average, square]) => {
                    adamw::update(
                        cpu,
                        adamw::Update { lr, betas, eps, weight_decay, step },
                        &mut parameters[range.clone()],
                        &mut average[range.clone()],
                        &mut square[range.clone()],
                        &gradients[range],
                    );
                }
                _ => unreachable!("an optimiser has its own buffers"),
            }
        });
    }
}

#[cfg(test)]
mod tests;
