//! The settings of Muon, and the rates of a step.

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, NodeId, Op};

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
    /// That of the optimiser.
    pub lr: f32,
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

/// The rate of the optimiser, without Muon.
impl From<f32> for Rates {
    fn from(lr: f32) -> Self {
        Rates { lr, muon: None }
    }
}
