//! Buffers of training.

use resnet_kernels::{Buffer, Storage};

/// The buffers of a training step.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Outputs of all layers, which the backward pass reads again.
    pub(super) values: Storage,
    /// Gradients of the outputs, placed by lifetime.
    pub(super) gradients: Storage,
    /// Batch statistics of the batch norms.
    pub(super) saved: Buffer,
    /// By layer, the number of pixels of its statistics.
    pub(super) counts: Vec<f64>,
    /// Moments or gradient sums of one batch norm at a time.
    pub(super) sums: Vec<f64>,
    /// Packed weights of one convolution at a time, unless it reads them unpacked.
    pub(super) packed: Buffer,
    pub(super) scratch: Buffer,
    pub(super) logits: Vec<f32>,
    pub(super) d_logits: Vec<f32>,
    /// Gradients of a micro-batch, before they are added to those of earlier ones.
    pub(super) micro_gradients: Vec<f32>,
}
