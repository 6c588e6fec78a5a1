//! Rules by which parameters change.

/// `torch.optim.SGD` (dampening 0).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SgdConfig {
    /// Momentum.
    pub momentum: f32,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f32,
    /// Nesterov's momentum.
    pub nesterov: bool,
    /// Whether weight decay applies to batch norm's parameters and to biases too, as it does in
    /// PyTorch unless parameters are grouped.
    pub decay_norm_and_bias: bool,
}
