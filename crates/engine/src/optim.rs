//! `torch.optim.SGD`: stochastic gradient descent with momentum.

use std::ops::Range;

use resnet_kernels::{
    Cpu,
    sgd::{Update, update},
};

pub use resnet_network::optim::{Average, Factors, GroupFactors, Muon, MuonRate, Rates, SgdConfig};
use resnet_network::{Network, graph::NodeId};

/// Consecutive parameters of the arena with equal settings, as in PyTorch's `param_groups`.
#[derive(Clone, Debug)]
struct ParamGroup {
    range: Range<usize>,
    /// Factor on the learning rate; 0 if the parameters are frozen.
    lr: f32,
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

/// Parameters of equal settings, times a factor on each node's rate.
fn param_groups(
    net: &Network,
    config: SgdConfig,
    factor: impl Fn(NodeId) -> f32,
) -> Vec<ParamGroup> {
    let mut groups: Vec<ParamGroup> = Vec::new();
    for param in net.params() {
        let factors = config.factors(net.graph(), param.node, param.kind);
        let lr = factors.lr * factor(param.node);
        let weight_decay = config.weight_decay_of(net.graph(), param.node, param.kind);
        match groups.last_mut() {
            Some(last) if (last.lr, last.weight_decay) == (lr, weight_decay) => {
                last.range.end = param.range.end;
            }
            _ => groups.push(ParamGroup { range: param.range.clone(), lr, weight_decay }),
        }
    }
    groups
}

impl Sgd {
    /// An optimiser before its first step.
    pub fn new(net: &Network, config: SgdConfig) -> Self {
        let groups = param_groups(net, config, |_| 1.0);
        Sgd { config, groups, momentum_buffer: vec![0.0; net.values().len()] }
    }

    /// From now on, the rate of a node's parameters is that of the settings times `factor`.
    pub fn set_rates(&mut self, net: &Network, factor: impl Fn(NodeId) -> f32) {
        self.groups = param_groups(net, self.config, factor);
    }

    /// One update of a network's parameters. `gradients` are in the order of [`Network::values`];
    /// those of frozen parameters are not read.
    ///
    /// # Panics
    /// If there is not a gradient for each parameter.
    pub fn step(&mut self, cpu: &Cpu, net: &mut Network, gradients: &[f32], lr: f32) {
        let SgdConfig { momentum, nesterov, .. } = self.config;
        for &ParamGroup { ref range, lr: factor, weight_decay } in &self.groups {
            if factor == 0.0 {
                continue;
            }
            update(
                cpu,
                Update { lr: lr * factor, momentum, weight_decay, nesterov },
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
            ..SgdConfig::default()
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

    /// Three steps with every factor, beside `torch.optim.SGD` in f64 with a group per parameter.
    #[test]
    fn factors_are_those_of_pytorchs_param_groups() {
        let graph = "resnet8".parse::<Arch>().unwrap().graph(10);
        let mut net = Network::new(graph, Init::PyTorch, 0);
        let factors = |lr, weight_decay| Factors { lr, weight_decay };
        for (nesterov, decay_norm_and_bias) in [(true, true), (false, false)] {
            let config = SgdConfig {
                momentum: 0.875,
                weight_decay: 0.125,
                nesterov,
                decay_norm_and_bias,
                groups: GroupFactors {
                    stem: factors(0.0, 7.0),
                    norm_scale: factors(0.5, 2.0),
                    norm_bias: factors(16.0, 0.0625),
                    head: factors(0.25, 4.0),
                },
            };
            let (first, mut expected) = (net.clone(), Vec::new());
            let gradient = |step: usize, i: usize| ((step * 31 + i * 7) % 11) as f32 / 64.0;
            for param in net.params() {
                let (lr, decay, is_bias_or_norm) = match param.name.as_str() {
                    "conv1.weight" => (0.0, 7.0, false),
                    "linear.weight" => (0.25, 4.0, false),
                    "linear.bias" => (0.25, 4.0, true),
                    name if param.shape.len() == 4 => {
                        assert!(name.ends_with(".weight"));
                        (1.0, 1.0, false)
                    }
                    name if name.ends_with(".weight") => (0.5, 2.0, true),
                    _ => (16.0, 0.0625, true),
                };
                let decay = if is_bias_or_norm && !decay_norm_and_bias { 0.0 } else { decay };
                for i in param.range.clone() {
                    let (mut w, mut buffer) = (f64::from(net.values()[i]), 0.0);
                    for step in 0..3 {
                        let g = f64::from(gradient(step, i)) + 0.125 * decay * w;
                        buffer = 0.875 * buffer + g;
                        w -= 0.01 * lr * if nesterov { g + 0.875 * buffer } else { buffer };
                    }
                    expected.push(w);
                }
            }
            let (cpu, mut sgd) = (Cpu::new(2).unwrap(), Sgd::new(&net, config));
            for step in 0..3 {
                let mut gradients: Vec<f32> =
                    (0..expected.len()).map(|i| gradient(step, i)).collect();
                // Those of the stem are not read.
                gradients[net.params()[0].range.clone()].fill(f32::NAN);
                sgd.step(&cpu, &mut net, &gradients, 0.01);
            }
            let stem = net.params()[0].range.clone();
            assert_eq!(net.values()[stem.clone()], first.values()[stem]);
            for param in net.params() {
                let frozen = config.is_frozen(net.graph(), param.node, param.kind);
                assert_eq!(frozen, param.name == "conv1.weight");
                for i in param.range.clone() {
                    let (found, expected) = (f64::from(net.values()[i]), expected[i]);
                    assert!((found - expected).abs() < 1e-6, "{}: {found} {expected}", param.name);
                }
            }
        }
    }
}
