//! Stochastic gradient descent.

use resnet_kernels::Cpu;

use crate::network::Network;

/// `torch.optim.SGD` (dampening 0).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SgdConfig {
    /// Momentum.
    pub momentum: f32,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f32,
    /// Nesterov's momentum.
    pub nesterov: bool,
    /// Whether weight decay applies to batch norm's parameters and to biases too.
    pub decay_norm_and_bias: bool,
}

/// The optimiser and its momentum buffer.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Momentum buffer, in the order of the parameters' arena.
    pub momentum_buffer: Vec<f32>,
}

impl Sgd {
    /// An optimiser that has not stepped yet.
    pub fn new(_net: &Network, _config: SgdConfig) -> Self {
        todo!()
    }
    /// One update at a learning rate.
    pub fn step(&mut self, _cpu: &Cpu, _net: &mut Network, _gradients: &[f32], _lr: f32) {
        todo!()
    }
}
