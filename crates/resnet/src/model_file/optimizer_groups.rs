//! The parameter groups of an optimizer in a PyTorch file.
//!
//! PyTorch numbers parameters in the order in which the optimizer was given them. A
//! `torch.optim.SGD(net.parameters(), ...)` has one group, in the state dict's order; a recipe that
//! exempts batch norms and biases from decay has two groups, the weights first; one with factors by
//! parameter group has a group for each [`Part`].

use resnet_formats::{NamedTensors, Tensor, torch::OptimizerGroup};
use resnet_network::optim::{Factors, GroupFactors, OptimizerConfig};

use super::decimal::decimal;

/// Rates and decays of the parameters, without the rest of the settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decays {
    pub(super) weight_decay: f32,
    pub(super) decay_norm_and_bias: bool,
    pub(super) groups: GroupFactors,
}

/// A named parameter.
type Parameter = (String, Tensor);

/// The parameters of a model in the order of an optimizer's groups, the group whose settings the others
/// have but for factors, and what the groups say; or why they are not understood.
pub(super) fn from_torch<'m, 'g>(
    groups: &'g [OptimizerGroup],
    model: &'m NamedTensors,
) -> Result<(Vec<&'m Parameter>, &'g OptimizerGroup, Decays), &'static str> {
    let parameters: Vec<&Parameter> = parameters(model).collect();
    let counts: Vec<usize> = groups.iter().map(|group| group.parameters).collect();
    let plain = |main: &OptimizerGroup, rest: &OptimizerGroup| Decays {
        weight_decay: main.weight_decay as f32,
        decay_norm_and_bias: main.weight_decay == rest.weight_decay,
        groups: GroupFactors::default(),
    };
    match groups {
        [group] => Ok((parameters, group, plain(group, group))),
        [first, second] => {
            let (weights, others): (Vec<_>, Vec<_>) =
                parameters.into_iter().partition(|parameter| is_weight(parameter));
            if counts == [weights.len(), others.len()] {
                Ok(([weights, others].concat(), first, plain(first, second)))
            } else if counts == [others.len(), weights.len()] {
                Ok(([others, weights].concat(), second, plain(second, first)))
            } else {
                Err(UNKNOWN_GROUPS)
            }
        }
        [main, stem, norm_scale, norm_bias, head, head_bias]
            if counts == Part::counts(&parameters) =>
        {
            let parts = [stem, norm_scale, norm_bias, head];
            Ok((Part::order(&parameters), main, with_factors(main, parts, head_bias)))
        }
        _ => Err(UNKNOWN_GROUPS),
    }
}

/// The groups of an optimizer, each with its rate, weight decay and number of parameters, and the
/// parameters of a model in their order.
pub(super) fn to_torch<'m>(
    config: &OptimizerConfig,
    lr: f64,
    model: &'m NamedTensors,
) -> (Vec<(f64, f64, usize)>, Vec<&'m Parameter>) {
    let parameters: Vec<&Parameter> = parameters(model).collect();
    let decay = decimal(config.weight_decay());
    if *config.groups() != GroupFactors::default() {
        let group = |(part, count): (Part, usize)| {
            let factors = part.factors(config.groups());
            let decays = config.decay_norm_and_bias() || part.is_weight();
            let decay = if decays { decay * decimal(factors.weight_decay) } else { 0.0 };
            (lr * decimal(factors.lr), decay, count)
        };
        let counts = Part::counts(&parameters);
        let groups = Part::ALL.into_iter().zip(counts).map(group).collect();
        return (groups, Part::order(&parameters));
    }
    if config.decay_norm_and_bias() {
        return (vec![(lr, decay, parameters.len())], parameters);
    }
    let (weights, others): (Vec<_>, Vec<_>) = parameters.into_iter().partition(|p| is_weight(p));
    let groups = vec![(lr, decay, weights.len()), (lr, 0.0, others.len())];
    (groups, [weights, others].concat())
}

/// What an optimizer with a group for each [`Part`] says.
fn with_factors(
    main: &OptimizerGroup,
    parts: [&OptimizerGroup; 4],
    head_bias: &OptimizerGroup,
) -> Decays {
    let ratio = |part: f64, main: f64| if main == 0.0 { 1.0 } else { (part / main) as f32 };
    let decay_norm_and_bias = head_bias.weight_decay == parts[3].weight_decay;
    let [stem, norm_scale, norm_bias, head] = parts.map(|part| Factors {
        lr: ratio(part.lr, main.lr),
        weight_decay: ratio(part.weight_decay, main.weight_decay),
    });
    // A decay of 0 does not tell the factor.
    let norm = |factors: Factors| match decay_norm_and_bias {
        true => factors,
        false => Factors { weight_decay: 1.0, ..factors },
    };
    let (norm_scale, norm_bias) = (norm(norm_scale), norm(norm_bias));
    Decays {
        weight_decay: main.weight_decay as f32,
        decay_norm_and_bias,
        groups: GroupFactors { stem, norm_scale, norm_bias, head },
    }
}

const UNKNOWN_GROUPS: &str = "its optimizer has other parameter groups than all parameters, \
                              weights and the rest, or those of a recipe's factors";

/// The parameters of a state dict: its tensors without buffers.
pub(super) fn parameters(model: &NamedTensors) -> impl Iterator<Item = &Parameter> {
    const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];
    let is_buffer = |name: &str| BUFFERS.iter().any(|buffer| name.ends_with(buffer));
    model.iter().filter(move |(name, _)| !is_buffer(name))
}

/// Whether a tensor is the weight of a convolution or a linear layer.
fn is_weight((_, tensor): &Parameter) -> bool {
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
    fn of((name, tensor): &Parameter, all: &[&Parameter]) -> Part {
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
    fn order<'a>(all: &[&'a Parameter]) -> Vec<&'a Parameter> {
        let mut order = all.to_vec();
        order.sort_by_key(|parameter| Part::of(parameter, all) as usize);
        order
    }

    /// The number of parameters in each part.
    fn counts(all: &[&Parameter]) -> [usize; 6] {
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
