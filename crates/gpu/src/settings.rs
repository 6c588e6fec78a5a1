//! The settings of an engine.

use resnet_kernels::Dtype;

/// The settings of a [`GpuEngine`](crate::GpuEngine).
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Storage type of activations and their gradients in training.
    pub dtype: Dtype,
    /// Images of the largest micro-batch.
    pub batch: usize,
    /// Images of the largest batch of [`GpuEngine::evaluate`](crate::GpuEngine::evaluate).
    pub eval_batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// How many values the optimiser keeps for each parameter: 1 of SGD, 2 of AdamW.
    pub buffers: usize,
    /// Whether there is [`GpuEngine::update_by_muon`](crate::GpuEngine::update_by_muon).
    pub muon: bool,
    /// Weight of a batch in the running statistics: PyTorch's `momentum`.
    pub norm_momentum: f64,
    /// Whether there is an average of the weights.
    pub average: bool,
}
