//! A network's parameters and running statistics, each in one flat arena.

use std::ops::Range;

use resnet_formats::NamedTensors;
use thiserror::Error;

use crate::graph::Graph;

/// What a parameter is, for initialisation and for the optimiser's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Weight of a convolution.
    ConvWeight,
    /// Scale of a batch norm.
    NormWeight,
    /// Shift of a batch norm.
    NormBias,
    /// Weight of a linear layer.
    LinearWeight,
    /// Bias of a linear layer.
    LinearBias,
}

/// A parameter's entry in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// State-dict key.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: ParamKind,
    /// Its place in the arena.
    pub range: Range<usize>,
}

/// Initial values of convolutions and linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// PyTorch's defaults of `Conv2d` and `Linear`: uniform in +-1/sqrt(fan in).
    PyTorch,
    /// He et al. 2015: normal, with variance 2 / fan out for convolutions, as torchvision does.
    He,
}

/// Why a state dict does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateDictError {
    /// Names or shapes differ.
    #[error("{0}")]
    Mismatch(String),
}

/// A graph with its parameters and running statistics.
#[derive(Clone, Debug)]
pub struct Network {
    graph: Graph,
}

impl Network {
    /// A network with random parameters.
    pub fn new(graph: Graph, _init: Init, _seed: u64) -> Self {
        Network { graph }
    }
    /// Its graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
    /// Parameters.
    pub fn values(&self) -> &[f32] {
        todo!()
    }
    /// The inventory of parameters, in PyTorch's order.
    pub fn params(&self) -> &[Param] {
        todo!()
    }
    /// Parameters and running statistics by PyTorch's names, in PyTorch's layout.
    pub fn state_dict(&self) -> NamedTensors {
        todo!()
    }
    /// Takes every parameter and statistic from a state dict (strict, as
    /// `torch.nn.Module.load_state_dict`; `num_batches_tracked` may be absent).
    pub fn load_state_dict(&mut self, _state: &NamedTensors) -> Result<(), StateDictError> {
        todo!()
    }
    /// An arena shaped like the parameters (gradients, momentum) by name, in PyTorch's layout.
    pub fn export(&self, _arena: &[f32]) -> NamedTensors {
        todo!()
    }
    /// The reverse of [`Network::export`].
    pub fn import(&self, _tensors: &NamedTensors) -> Result<Vec<f32>, StateDictError> {
        todo!()
    }
}
