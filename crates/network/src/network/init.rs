//! Initialisation of parameters.

use super::{Param, ParamKind};
use crate::random::Random;

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
}
