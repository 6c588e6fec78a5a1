//! Changes to initial values: identity filters, and the scale of the head.

use super::{Network, ParamKind};
use crate::graph::Op;

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
    use crate::{Arch, Network, network::Init};

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
