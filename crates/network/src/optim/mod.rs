//! Settings of the optimiser.

mod average;
mod groups;
mod muon;

use serde::{Deserialize, Serialize};

use crate::{
    graph::{Graph, NodeId},
    network::ParamKind,
};

use self::groups::is_default;
pub use self::{
    average::Average,
    groups::{Factors, GroupFactors},
    muon::{Muon, MuonRate, Rates},
};

/// The optimiser of a network, with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// `torch.optim.SGD`.
    Sgd(SgdConfig),
    /// `torch.optim.AdamW`.
    AdamW(AdamWConfig),
}

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

/// Settings of `torch.optim.AdamW` (Loshchilov and Hutter 2019, arXiv 1711.05101), without `amsgrad`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the averages of the gradient and of its square, each in [0, 1).
    pub betas: [f64; 2],
    /// Added to the root of the average square, above 0.
    pub eps: f64,
    /// Decoupled weight decay: a step takes `lr * weight_decay` of a parameter.
    pub weight_decay: f32,
    /// Whether weight decay applies to batch norms and biases too. In PyTorch it does, unless they
    /// are in a parameter group of their own.
    pub decay_norm_and_bias: bool,
    /// Factors by parameter group.
    #[serde(skip_serializing_if = "is_default")]
    pub groups: GroupFactors,
}

/// PyTorch's defaults.
impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig {
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.01,
            decay_norm_and_bias: true,
            groups: GroupFactors::default(),
        }
    }
}

impl From<SgdConfig> for OptimizerConfig {
    fn from(sgd: SgdConfig) -> Self {
        OptimizerConfig::Sgd(sgd)
    }
}

impl From<AdamWConfig> for OptimizerConfig {
    fn from(adamw: AdamWConfig) -> Self {
        OptimizerConfig::AdamW(adamw)
    }
}

/// SGD with PyTorch's defaults.
impl Default for OptimizerConfig {
    fn default() -> Self {
        SgdConfig::default().into()
    }
}

impl OptimizerConfig {
    /// PyTorch's name.
    pub fn name(&self) -> &'static str {
        match self {
            OptimizerConfig::Sgd(_) => "SGD",
            OptimizerConfig::AdamW(_) => "AdamW",
        }
    }

    /// PyTorch's names of the values that it keeps for each parameter.
    pub fn buffers(&self) -> &'static [&'static str] {
        match self {
            OptimizerConfig::Sgd(_) => &["momentum_buffer"],
            OptimizerConfig::AdamW(_) => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// Whether it counts the steps of each parameter.
    pub fn counts_steps(&self) -> bool {
        matches!(self, OptimizerConfig::AdamW(_))
    }

    /// The momentum: of AdamW, the decay of the average gradient.
    pub fn momentum(&self) -> f32 {
        match self {
            OptimizerConfig::Sgd(sgd) => sgd.momentum,
            OptimizerConfig::AdamW(adamw) => adamw.betas[0] as f32,
        }
    }

    /// The weight decay, before the factors of its groups.
    pub fn weight_decay(&self) -> f32 {
        match self {
            OptimizerConfig::Sgd(sgd) => sgd.weight_decay,
            OptimizerConfig::AdamW(adamw) => adamw.weight_decay,
        }
    }

    /// The same, to be changed.
    pub fn weight_decay_mut(&mut self) -> &mut f32 {
        match self {
            OptimizerConfig::Sgd(sgd) => &mut sgd.weight_decay,
            OptimizerConfig::AdamW(adamw) => &mut adamw.weight_decay,
        }
    }

    /// Whether weight decay applies to batch norms and biases too.
    pub fn decay_norm_and_bias(&self) -> bool {
        match self {
            OptimizerConfig::Sgd(sgd) => sgd.decay_norm_and_bias,
            OptimizerConfig::AdamW(adamw) => adamw.decay_norm_and_bias,
        }
    }

    /// Factors by parameter group.
    pub fn groups(&self) -> &GroupFactors {
        match self {
            OptimizerConfig::Sgd(sgd) => &sgd.groups,
            OptimizerConfig::AdamW(adamw) => &adamw.groups,
        }
    }

    /// The same, to be changed.
    pub fn groups_mut(&mut self) -> &mut GroupFactors {
        match self {
            OptimizerConfig::Sgd(sgd) => &mut sgd.groups,
            OptimizerConfig::AdamW(adamw) => &mut adamw.groups,
        }
    }

    /// The factors of a node's parameter.
    pub fn factors(&self, graph: &Graph, node: NodeId, kind: ParamKind) -> Factors {
        self.groups().of(graph, node, kind)
    }

    /// Whether a node's parameter never changes, so that its gradient is not needed.
    pub fn is_frozen(&self, graph: &Graph, node: NodeId, kind: ParamKind) -> bool {
        self.factors(graph, node, kind).lr == 0.0
    }

    /// The weight decay of a node's parameter.
    pub fn weight_decay_of(&self, graph: &Graph, node: NodeId, kind: ParamKind) -> f32 {
        let decays = self.decay_norm_and_bias() || kind.is_weight();
        let factor = self.factors(graph, node, kind).weight_decay;
        if decays { self.weight_decay() * factor } else { 0.0 }
    }
}
