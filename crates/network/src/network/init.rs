//! Initialisation of parameters.

use super::{Network, Param, ParamKind};
use crate::{graph::Op, random::Random};

/// Initialisation of convolutions and linear layers. Batch norms start with weight 1 and bias 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// PyTorch's defaults for `Conv2d` and `Linear`: uniform in +-1/sqrt(fan_in).
    PyTorch,
    /// `torch.nn.init.kaiming_normal_` for convolutions (He et al. 2015, equation 10): normal with
    /// variance 2 / fan_in. Linear layers as in PyTorch.
    He,
}

/// The initial values of a parameter, in PyTorch's layout.
pub(super) fn draw(param: &Param, params: &[Param], init: Init, random: &mut Random) -> Vec<f32> {
    let fan_in = |shape: &[usize]| shape[1..].iter().product::<usize>() as f32;
    let uniform = |random: &mut Random, bound: f32| (2.0 * random.uniform() - 1.0) * bound;
    let count = param.range.len();
    match param.kind {
        ParamKind::NormWeight => vec![1.0; count],
        ParamKind::NormBias => vec![0.0; count],
        ParamKind::ConvWeight if init == Init::He => {
            let std = (2.0 / fan_in(&param.shape)).sqrt();
            (0..count).map(|_| std * random.normal()).collect()
        }
        ParamKind::ConvWeight | ParamKind::LinearWeight => {
            let bound = 1.0 / fan_in(&param.shape).sqrt();
            (0..count).map(|_| uniform(random, bound)).collect()
        }
        ParamKind::LinearBias => {
            let weight = params.iter().find(|p| p.node == param.node).expect("precedes its bias");
            let bound = 1.0 / fan_in(&weight.shape).sqrt();
            (0..count).map(|_| uniform(random, bound)).collect()
        }
    }
}

impl Network {
    /// Sets the first min(inputs, outputs) filters of every 3x3 convolution to the identity:
    /// filter `i` passes on channel `i` (`torch.nn.init.dirac_`). Other filters stay. The
    /// convolution that reads the images and grouped ones are left out.
    pub fn set_identity(&mut self) {
        for param in &self.params {
            let op = self.graph.nodes()[param.node].op;
            let fits = matches!(op, Op::Conv2d { kernel: 3, groups: 1, .. });
            if !fits || self.graph.reads_images(param.node) {
                continue;
            }
            let (outputs, inputs) = (param.shape[0], param.shape[1]);
            let filters = self.values[param.range.clone()].chunks_exact_mut(9 * inputs);
            for (i, filter) in filters.enumerate().take(inputs.min(outputs)) {
                filter.fill(0.0);
                // The arena has a filter's values by row, column and channel.
                filter[4 * inputs + i] = 1.0;
            }
        }
    }

    /// Multiplies the weight and bias of the head, which computes the logits.
    pub fn scale_head(&mut self, factor: f32) {
        for param in &self.params {
            if matches!(param.kind, ParamKind::LinearWeight | ParamKind::LinearBias) {
                self.values[param.range.clone()].iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Network};

    #[test]
    fn initial_values_have_the_right_spread() {
        let graph = "resnet18-cifar".parse::<Arch>().unwrap().graph(10);
        for (init, want) in [(Init::PyTorch, 1.0 / (3.0f64 * 576.0)), (Init::He, 2.0 / 576.0)] {
            let net = Network::new(graph.clone(), init, 3);
            let param = net.params().iter().find(|p| p.name == "layer1.0.conv1.weight").unwrap();
            let values = &net.values()[param.range.clone()];
            let var =
                values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((var / want - 1.0).abs() < 0.05, "{var} for {want}");
        }
    }

    #[test]
    fn identity_is_pytorchs_dirac() {
        let graph = "resnet18-cifar".parse::<Arch>().unwrap().graph_with(3, 10, 4);
        let before = Network::new(graph, Init::PyTorch, 3);
        let mut net = before.clone();
        net.set_identity();
        let (mut whole, mut parts) = (0, 0);
        for ((name, new), (_, old)) in net.state_dict().iter().zip(before.state_dict()) {
            let [outputs, inputs, 3, 3] = new.shape[..] else {
                assert_eq!(*new, old, "{name}");
                continue;
            };
            if name == "conv1.weight" {
                assert_eq!(*new, old);
                continue;
            }
            whole += usize::from(outputs == inputs);
            parts += usize::from(outputs > inputs);
            let (new, old) = (new.as_f32().unwrap(), old.as_f32().unwrap());
            for (i, (&new, &old)) in new.iter().zip(old).enumerate() {
                let (out, channel, tap) = (i / (9 * inputs), i / 9 % inputs, i % 9);
                let one = f32::from(u8::from(channel == out && tap == 4));
                assert_eq!(new, if out < inputs { one } else { old }, "{name} {i}");
            }
        }
        assert_eq!((whole, parts), (13, 3));
    }

    #[test]
    fn a_scale_of_the_head_changes_nothing_else() {
        let graph = "resnet8".parse::<Arch>().unwrap().graph(10);
        let before = Network::new(graph, Init::PyTorch, 3);
        let mut net = before.clone();
        net.scale_head(0.125);
        for param in net.params() {
            let factor = if param.name.starts_with("linear.") { 0.125 } else { 1.0 };
            for i in param.range.clone() {
                assert_eq!(net.values()[i], factor * before.values()[i], "{}", param.name);
            }
        }
    }
}
