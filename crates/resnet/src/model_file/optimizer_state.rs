//! The optimiser's state in a file, and its conversion from and to PyTorch.
//!
//! PyTorch numbers parameters in the order in which the optimizer was given them. A
//! `torch.optim.SGD(net.parameters(), ...)` has one group, in the state dict's order; a recipe that
//! exempts batch norms and biases from decay has two groups, the weights first; one with factors by
//! parameter group has a group for each [`Part`].

use std::collections::HashMap;

use resnet_formats::{
    NamedTensors, Tensor,
    torch::{Sgd, SgdGroup},
};
use resnet_network::optim::{Factors, GroupFactors, SgdConfig};

/// The state and settings of `torch.optim.SGD`.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// Momentum buffers by parameter name; empty before the first step.
    pub momentum: NamedTensors,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Dampening of momentum; always 0 in files of this library.
    pub dampening: f64,
    /// The other settings.
    pub config: SgdConfig,
}

impl OptimizerState {
    /// The optimiser of a model in a PyTorch file, or why it cannot be read.
    pub(super) fn from_torch(sgd: Sgd, model: &NamedTensors) -> Result<OptimizerState, String> {
        let parameters: Vec<&(String, Tensor)> = parameters(model).collect();
        let counts: Vec<usize> = sgd.groups.iter().map(|group| group.parameters).collect();
        if sgd.momentum.len() != parameters.len() {
            let (has, model) = (sgd.momentum.len(), parameters.len());
            return Err(format!("its optimizer has {has} parameters, and its model {model}"));
        }
        let (order, [main, rest]) = match &sgd.groups[..] {
            [group] => (parameters, [group, group]),
            [first, second] => {
                let (weights, others): (Vec<_>, Vec<_>) =
                    parameters.into_iter().partition(|parameter| is_weight(parameter));
                if counts == [weights.len(), others.len()] {
                    ([weights, others].concat(), [first, second])
                } else if counts == [others.len(), weights.len()] {
                    ([others, weights].concat(), [second, first])
                } else {
                    return Err(UNKNOWN_GROUPS.into());
                }
            }
            [main, .., head_bias] if counts == Part::counts(&parameters) => {
                (Part::order(&parameters), [main, head_bias])
            }
            _ => return Err(UNKNOWN_GROUPS.into()),
        };
        let held = sgd.momentum.iter().flatten().count();
        if held != 0 && held != order.len() {
            return Err(format!(
                "its optimizer has momentum for {held} of its {} parameters",
                order.len()
            ));
        }
        let mut momentum = NamedTensors::new();
        for ((name, parameter), buffer) in order.iter().zip(sgd.momentum) {
            let Some(buffer) = buffer else { continue };
            if buffer.shape != parameter.shape || buffer.as_f32().is_none() {
                return Err(format!(
                    "the momentum in the place of '{name}' is {:?}, not {:?}",
                    buffer.shape, parameter.shape
                ));
            }
            momentum.push((name.clone(), buffer));
        }
        Ok(OptimizerState {
            momentum,
            lr: main.lr,
            dampening: main.dampening,
            config: match &sgd.groups[..] {
                [_, stem, norm_scale, norm_bias, head, head_bias] => {
                    with_factors(main, [stem, norm_scale, norm_bias, head], head_bias)
                }
                _ => SgdConfig {
                    momentum: main.momentum as f32,
                    weight_decay: main.weight_decay as f32,
                    nesterov: main.nesterov,
                    decay_norm_and_bias: main.weight_decay == rest.weight_decay,
                    ..SgdConfig::default()
                },
            },
        })
    }

    /// The state for `torch.optim.SGD.load_state_dict` and a model.
    pub(super) fn to_torch(&self, model: &NamedTensors) -> Sgd {
        let SgdConfig { momentum, weight_decay, nesterov, decay_norm_and_bias, groups: factors } =
            self.config;
        let group = |lr, weight_decay, parameters| SgdGroup {
            lr,
            momentum: decimal(momentum),
            dampening: self.dampening,
            weight_decay,
            nesterov,
            parameters,
        };
        let decay = decimal(weight_decay);
        let (groups, order) = if factors != GroupFactors::default() {
            let parameters: Vec<_> = parameters(model).collect();
            let groups =
                Part::ALL.into_iter().zip(Part::counts(&parameters)).map(|(part, count)| {
                    let Factors { lr, weight_decay } = part.factors(&factors);
                    let decays = decay_norm_and_bias || part.is_weight();
                    let decay = if decays { decay * decimal(weight_decay) } else { 0.0 };
                    group(self.lr * decimal(lr), decay, count)
                });
            (groups.collect(), Part::order(&parameters))
        } else if decay_norm_and_bias {
            let order: Vec<_> = parameters(model).collect();
            (vec![group(self.lr, decay, order.len())], order)
        } else {
            let (weights, others): (Vec<_>, Vec<_>) = parameters(model).partition(|p| is_weight(p));
            let groups =
                vec![group(self.lr, decay, weights.len()), group(self.lr, 0.0, others.len())];
            (groups, [weights, others].concat())
        };
        let buffers: HashMap<_, _> = self.momentum.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let buffer = |(name, _): &&(String, Tensor)| buffers.get(name.as_str()).map(|&t| t.clone());
        Sgd { groups, momentum: order.iter().map(buffer).collect() }
    }
}

/// The settings of an optimiser with a group for each [`Part`].
fn with_factors(main: &SgdGroup, parts: [&SgdGroup; 4], head_bias: &SgdGroup) -> SgdConfig {
    let ratio = |part: f64, main: f64| if main == 0.0 { 1.0 } else { (part / main) as f32 };
    let head_decay = parts[3].weight_decay;
    let decay_norm_and_bias = head_bias.weight_decay == head_decay;
    let [stem, norm_scale, norm_bias, head] = parts.map(|part| Factors {
        lr: ratio(part.lr, main.lr),
        weight_decay: ratio(part.weight_decay, main.weight_decay),
    });
    // A decay of 0 does not tell the factor.
    let norm = |factors: Factors| match decay_norm_and_bias {
        true => factors,
        false => Factors { weight_decay: 1.0, ..factors },
    };
    SgdConfig {
        momentum: main.momentum as f32,
        weight_decay: main.weight_decay as f32,
        nesterov: main.nesterov,
        decay_norm_and_bias,
        groups: GroupFactors {
            stem,
            norm_scale: norm(norm_scale),
            norm_bias: norm(norm_bias),
            head,
        },
    }
}

const UNKNOWN_GROUPS: &str = "its optimizer has other parameter groups than all parameters, \
                              weights and the rest, or those of a recipe's factors";

/// The parameters of a state dict: its tensors without buffers.
fn parameters(model: &NamedTensors) -> impl Iterator<Item = &(String, Tensor)> {
    const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];
    let is_buffer = |name: &str| BUFFERS.iter().any(|buffer| name.ends_with(buffer));
    model.iter().filter(move |(name, _)| !is_buffer(name))
}

/// Whether a tensor is the weight of a convolution or a linear layer.
fn is_weight((_, tensor): &(String, Tensor)) -> bool {
    tensor.shape.len() > 1
}

/// Parameters with settings of their own, in the order of their groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Filters,
    Stem,
    NormScale,
    NormBias,
    HeadWeight,
    HeadBias,
}

impl Part {
    const ALL: [Part; 6] = [
        Part::Filters,
        Part::Stem,
        Part::NormScale,
        Part::NormBias,
        Part::HeadWeight,
        Part::HeadBias,
    ];

    /// The part of a parameter: the stem is the first of all, the head's the only matrix.
    fn of((name, tensor): &(String, Tensor), all: &[&(String, Tensor)]) -> Part {
        let module = |name: &str| name.rsplit_once('.').map(|(module, _)| module.to_owned());
        let is_head = || {
            let head = all.iter().find(|(_, tensor)| tensor.shape.len() == 2);
            head.is_some_and(|(head, _)| module(head) == module(name))
        };
        match tensor.shape.len() {
            4 if all.first().is_some_and(|(first, _)| first == name) => Part::Stem,
            4 => Part::Filters,
            2 => Part::HeadWeight,
            _ if is_head() => Part::HeadBias,
            _ if name.ends_with(".weight") => Part::NormScale,
            _ => Part::NormBias,
        }
    }

    /// The parameters, part by part.
    fn order<'a>(all: &[&'a (String, Tensor)]) -> Vec<&'a (String, Tensor)> {
        let mut order = all.to_vec();
        order.sort_by_key(|parameter| Part::of(parameter, all) as usize);
        order
    }

    /// The number of parameters in each part.
    fn counts(all: &[&(String, Tensor)]) -> [usize; 6] {
        let parts: Vec<Part> = all.iter().map(|parameter| Part::of(parameter, all)).collect();
        Part::ALL.map(|part| parts.iter().filter(|&&other| other == part).count())
    }

    fn is_weight(self) -> bool {
        matches!(self, Part::Filters | Part::Stem | Part::HeadWeight)
    }

    fn factors(self, groups: &GroupFactors) -> Factors {
        match self {
            Part::Filters => Factors::default(),
            Part::Stem => groups.stem,
            Part::NormScale => groups.norm_scale,
            Part::NormBias => groups.norm_bias,
            Part::HeadWeight | Part::HeadBias => groups.head,
        }
    }
}

/// Converts 0.9 to 0.9, not to 0.8999999761581421.
pub(crate) fn decimal(x: f32) -> f64 {
    x.to_string().parse().expect("a number's text is a number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Network, network::Init};

    fn model() -> NamedTensors {
        let arch: Arch = "resnet8".parse().unwrap();
        Network::new(arch.graph_with(3, 10, 2), Init::PyTorch, 0).state_dict()
    }

    fn optimizer(decay_norm_and_bias: bool) -> OptimizerState {
        let model = model();
        let buffer = |(i, (name, tensor)): (usize, &(String, Tensor))| {
            (name.clone(), Tensor::f32(&tensor.shape, vec![i as f32; tensor.data.len()]))
        };
        let config = SgdConfig {
            momentum: 0.9,
            weight_decay: 5e-4,
            nesterov: true,
            decay_norm_and_bias,
            ..SgdConfig::default()
        };
        let momentum = parameters(&model).enumerate().map(buffer).collect();
        OptimizerState { momentum, lr: 0.1, dampening: 0.0, config }
    }

    fn sorted(mut optimizer: OptimizerState) -> OptimizerState {
        optimizer.momentum.sort_by(|a, b| a.0.cmp(&b.0));
        optimizer
    }

    #[test]
    fn settings_and_buffers_round_trip() {
        for decay_norm_and_bias in [true, false] {
            let optimizer = optimizer(decay_norm_and_bias);
            let sgd = optimizer.to_torch(&model());
            assert_eq!(sgd.groups[0].momentum, 0.9);
            assert_eq!(sgd.groups.len(), if decay_norm_and_bias { 1 } else { 2 });
            let back = OptimizerState::from_torch(sgd.clone(), &model()).unwrap();
            assert_eq!(sorted(back), sorted(optimizer.clone()));
            // The groups in the other order.
            if !decay_norm_and_bias {
                let mut swapped = sgd.clone();
                swapped.momentum.rotate_left(sgd.groups[0].parameters);
                swapped.groups.reverse();
                let back = OptimizerState::from_torch(swapped, &model()).unwrap();
                assert_eq!(sorted(back), sorted(optimizer));
            }
        }
    }

    #[test]
    fn factors_round_trip() {
        let factors = |lr, weight_decay| Factors { lr, weight_decay };
        for decay_norm_and_bias in [true, false] {
            let mut optimizer = optimizer(decay_norm_and_bias);
            optimizer.config.groups = GroupFactors {
                stem: factors(0.0, 3.0),
                norm_scale: factors(0.5, 1.0),
                norm_bias: factors(16.0, if decay_norm_and_bias { 0.0625 } else { 1.0 }),
                head: factors(0.1, 0.3),
            };
            let sgd = optimizer.to_torch(&model());
            // Every convolution has a batch norm.
            let counts: Vec<_> = sgd.groups.iter().map(|group| group.parameters).collect();
            let norms = counts[2];
            assert_eq!(counts, [norms - 1, 1, norms, norms, 1, 1]);
            assert_eq!((sgd.groups[3].lr, sgd.groups[1].lr), (1.6, 0.0));
            assert_eq!(sgd.groups[5].weight_decay > 0.0, decay_norm_and_bias);
            let back = OptimizerState::from_torch(sgd, &model()).unwrap();
            assert_eq!(sorted(back), sorted(optimizer));
        }
    }

    #[test]
    fn before_the_first_step_there_is_no_momentum() {
        let mut sgd = optimizer(true).to_torch(&model());
        sgd.momentum.fill(None);
        assert_eq!(OptimizerState::from_torch(sgd, &model()).unwrap().momentum, vec![]);
    }

    #[test]
    fn errors_name_what_cannot_be_read() {
        let refusal = |change: &dyn Fn(&mut Sgd)| {
            let mut sgd = optimizer(true).to_torch(&model());
            change(&mut sgd);
            OptimizerState::from_torch(sgd, &model()).unwrap_err()
        };
        assert!(
            refusal(&|sgd| drop(sgd.momentum.pop()))
                .contains("has 22 parameters, and its model 23")
        );
        assert!(refusal(&|sgd| sgd.momentum[3] = None).contains("22 of its 23"));
        assert!(
            refusal(&|sgd| sgd.momentum.swap(0, 1)).contains("place of 'conv1.weight' is [2],")
        );
        assert!(refusal(&|sgd| sgd.groups.clear()).contains("groups"));
        let split = |sgd: &mut Sgd| {
            sgd.groups.push(SgdGroup { parameters: 22, ..sgd.groups[0].clone() });
            sgd.groups[0].parameters = 1;
        };
        assert!(refusal(&split).contains("groups"));
    }
}
