//! The memory of training.

use resnet_kernels::{Buffer, Storage};

/// Buffers of a step.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Outputs of all layers: backward reads them again.
    pub(super) values: Storage,
    /// Gradients of the outputs, by lifetime.
    pub(super) gradients: Storage,
    /// Statistics of the batch norms.
    pub(super) saved: Buffer,
    /// Pixels that they are of, by layer.
    pub(super) counts: Vec<f64>,
    /// Moments or sums of the batch norm at work.
    pub(super) sums: Vec<f64>,
    /// Packed weights of the convolution at work, unless it takes them as they are.
    pub(super) packed: Buffer,
    pub(super) scratch: Buffer,
    pub(super) logits: Vec<f32>,
    pub(super) d_logits: Vec<f32>,
    /// Gradients of a micro-batch, before they are added to those of earlier ones.
    pub(super) micro_gradients: Vec<f32>,
}
