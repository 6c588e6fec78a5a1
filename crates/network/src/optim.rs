//! Settings of the optimiser.

use serde::{Deserialize, Serialize};

use crate::{
    graph::{Graph, NodeId, Op},
    network::ParamKind,
};

/// Settings of `torch.optim.SGD` (dampening 0).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SgdConfig {
    /// Momentum, in [0, 1).
    pub momentum: f32,
    /// Weight decay: the L2 penalty that is added to the gradient.
    pub weight_decay: f32,
    /// Whether momentum is Nesterov's.
    pub nesterov: bool,
    /// Whether weight decay applies to batch norms and biases too. In PyTorch it does, unless they
    /// are in a parameter group of their own.
    pub decay_norm_and_bias: bool,
    /// Factors by parameter group.
    #[serde(default, skip_serializing_if = "is_default")]
    pub groups: GroupFactors,
}

/// PyTorch's defaults: no momentum, no weight decay.
impl Default for SgdConfig {
    fn default() -> Self {
        SgdConfig {
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            decay_norm_and_bias: true,
            groups: GroupFactors::default(),
        }
    }
}

/// Factors on rate and weight decay of the parameter groups. Parameters in no group, the weights of
/// all convolutions but the first, have 1 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupFactors {
    /// Of the first convolution, which reads the images.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stem: Factors,
    /// Of the weights of batch norms.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm_scale: Factors,
    /// Of the biases of batch norms.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm_bias: Factors,
    /// Of the linear layer's weight and bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub head: Factors,
}

/// The factors of a parameter group. A step takes `lr * weight_decay` of a parameter, so factors
/// whose product is 1 change the rate and leave the decay of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Factors {
    /// On the learning rate. With 0 the parameters do not change at all.
    pub lr: f32,
    /// On the weight decay.
    pub weight_decay: f32,
}

impl Default for Factors {
    fn default() -> Self {
        Factors { lr: 1.0, weight_decay: 1.0 }
    }
}

impl GroupFactors {
    /// The groups by the names of their fields.
    pub fn by_name(&self) -> [(&'static str, Factors); 4] {
        let GroupFactors { stem, norm_scale, norm_bias, head } = *self;
        [("stem", stem), ("norm_scale", norm_scale), ("norm_bias", norm_bias), ("head", head)]
    }
}

impl SgdConfig {
    /// The factors of a node's parameter.
    pub fn factors(&self, graph: &Graph, node: NodeId, kind: ParamKind) -> Factors {
        match kind {
            ParamKind::ConvWeight if graph.reads_images(node) => self.groups.stem,
            ParamKind::ConvWeight => Factors::default(),
            ParamKind::NormWeight => self.groups.norm_scale,
            ParamKind::NormBias => self.groups.norm_bias,
            ParamKind::LinearWeight | ParamKind::LinearBias => self.groups.head,
        }
    }

    /// Whether a node's parameter never changes, so that its gradient is not needed.
    pub fn is_frozen(&self, graph: &Graph, node: NodeId, kind: ParamKind) -> bool {
        self.factors(graph, node, kind).lr == 0.0
    }

    /// The weight decay of a node's parameter.
    pub fn weight_decay_of(&self, graph: &Graph, node: NodeId, kind: ParamKind) -> f32 {
        let decays = self.decay_norm_and_bias || kind.is_weight();
        let factor = self.factors(graph, node, kind).weight_decay;
        if decays { self.weight_decay * factor } else { 0.0 }
    }
}

/// Muon (Jordan et al. 2024) as in airbench, with Nesterov's momentum: the optimiser of the weights of
/// all convolutions but the first, [`Muon::trains`]. Everything else stays with SGD.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Muon {
    /// Base learning rate, which the schedule scales.
    pub lr: f64,
    /// Momentum, in [0, 1).
    pub momentum: f32,
    /// Decoupled weight decay: a step takes `lr * weight_decay` of a weight. SGD's does not apply.
    pub weight_decay: f32,
    /// Newton-Schulz iterations of a step.
    pub steps: usize,
    /// Steps between those that first scale a weight to a Frobenius norm of the square root of its
    /// output channels, the first of the run among them; 0 for none.
    pub rescale: u64,
}

/// airbench's numbers.
impl Default for Muon {
    fn default() -> Self {
        Muon { lr: 0.24, momentum: 0.6, weight_decay: 0.0, steps: 3, rescale: 1 }
    }
}

impl Muon {
    /// Whether it trains a node's parameters, which are then the weight of a convolution.
    pub fn trains(graph: &Graph, node: NodeId) -> bool {
        matches!(graph.nodes()[node].op, Op::Conv2d { .. }) && !graph.reads_images(node)
    }

    /// Whether a step, which counts from 0, scales the weights first.
    pub fn rescales_at(&self, step: u64) -> bool {
        self.rescale > 0 && step.is_multiple_of(self.rescale)
    }
}

/// The learning rates of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// That of SGD.
    pub sgd: f32,
    /// What Muon takes, if it trains the convolutions.
    pub muon: Option<MuonRate>,
}

/// What changes in Muon from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuonRate {
    /// Learning rate.
    pub lr: f32,
    /// Whether the weights are scaled first.
    pub rescale: bool,
}

/// The rate of SGD, without Muon.
impl From<f32> for Rates {
    fn from(sgd: f32) -> Self {
        Rates { sgd, muon: None }
    }
}

/// An average of the weights and of the running statistics of batch norms, over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Average {
    /// The network itself returns to its slow average (Zhang et al. 2019, arXiv 1907.08610), as in
    /// airbench: `slow = a slow + (1 - a) weights; weights = slow`, with
    /// `a = decay^every (step / steps)^power`, and `weights = slow` after the last step.
    Lookahead {
        /// Steps between updates.
        every: u64,
        /// Decay of a step, in [0, 1].
        decay: f64,
        /// Power of the part of the run that is done.
        power: f64,
    },
    /// Exponential moving average, as timm's `ModelEma`: `average = decay average + (1 - decay)
    /// weights`. The weights train on; the average is evaluated.
    Ema {
        /// Steps between updates.
        every: u64,
        /// Decay of an update, in [0, 1].
        decay: f64,
    },
}

impl Average {
    /// Whether the average is evaluated and exported in the place of the weights.
    pub fn is_ema(self) -> bool {
        matches!(self, Average::Ema { .. })
    }

    /// The decay of the update that follows a step; none if there is no update. Steps count from 1.
    pub fn decay_after(self, step: u64, steps: u64) -> Option<f64> {
        let (Average::Lookahead { every, .. } | Average::Ema { every, .. }) = self;
        step.is_multiple_of(every).then(|| match self {
            Average::Lookahead { every, decay, power } => {
                decay.powf(every as f64) * (step as f64 / steps as f64).powf(power)
            }
            Average::Ema { decay, .. } => decay,
        })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
