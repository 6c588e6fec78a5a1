//! `torch.optim.SGD`: stochastic gradient descent with momentum.

use std::ops::Range;

use resnet_kernels::{
    Cpu,
    sgd::{Update, update},
};

use resnet_network::Network;
pub use resnet_network::optim::SgdConfig;

/// Consecutive parameters of the arena with equal settings, as in PyTorch's `param_groups`.
#[derive(Clone, Debug)]
struct ParamGroup {
    range: Range<usize>,
    weight_decay: f32,
}

/// `torch.optim.SGD` (dampening 0): its settings, parameter groups and momentum buffer.
#[derive(Clone, Debug)]
pub struct Sgd {
    config: SgdConfig,
    groups: Vec<ParamGroup>,
    /// Momentum buffer, in the order of [`Network::values`]; zeros before the first step.
    pub momentum_buffer: Vec<f32>,
}

impl Sgd {
    /// An optimiser before its first step.
    pub fn new(net: &Network, config: SgdConfig) -> Self {
        let mut groups: Vec<ParamGroup> = Vec::new();
        for param in net.params() {
            let decays = config.decay_norm_and_bias || param.kind.is_weight();
            let weight_decay = if decays { config.weight_decay } else { 0.0 };
            match groups.last_mut() {
                Some(last) if last.weight_decay == weight_decay => last.range.end = param.range.end,
                _ => groups.push(ParamGroup { range: param.range.clone(), weight_decay }),
            }
        }
        Sgd { config, groups, momentum_buffer: vec![0.0; net.values().len()] }
    }

    /// One update of a network's parameters. `gradients` are in the order of [`Network::values`].
    ///
    /// # Panics
    /// If there is not a gradient for each parameter.
    pub fn step(&mut self, cpu: &Cpu, net: &mut Network, gradients: &[f32], lr: f32) {
        let SgdConfig { momentum, nesterov, .. } = self.config;
        for ParamGroup { range, weight_decay } in &self.groups {
            update(
                cpu,
                Update { lr, momentum, weight_decay: *weight_decay, nesterov },
                &mut net.values_mut()[range.clone()],
                &mut self.momentum_buffer[range.clone()],
                &gradients[range.clone()],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resnet_network::{Arch, network::Init};

    #[test]
    fn exempts_norm_and_bias_from_decay() {
        let graph = "resnet8".parse::<Arch>().unwrap().graph(10);
        let mut net = Network::new(graph, Init::PyTorch, 0);
        let before = net.clone();
        let config = SgdConfig {
            momentum: 0.0,
            weight_decay: 0.5,
            nesterov: false,
            decay_norm_and_bias: false,
        };
        let zeros = vec![0.0; net.values().len()];
        let cpu = Cpu::new(1).unwrap();
        Sgd::new(&net, config).step(&cpu, &mut net, &zeros, 1.0);
        for param in before.params() {
            let factor = if param.kind.is_weight() { 0.5 } else { 1.0 };
            for i in param.range.clone() {
                assert_eq!(net.values()[i], factor * before.values()[i], "{}", param.name);
            }
        }
    }
}
