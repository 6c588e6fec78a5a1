//! Settings of the optimiser.

/// Settings of `torch.optim.SGD` (dampening 0).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
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
}
