//! The memory of training.

use resnet_kernels::{Buffer, Storage};

/// Buffers of a step.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Outputs of all units: backward reads them again.
    pub(super) values: Storage,
    /// Gradients of the outputs, by lifetime.
    pub(super) gradients: Storage,
    /// Statistics of the batch norms.
    pub(super) saved: Buffer,
    /// Pixels that they are of, by unit.
    pub(super) counts: Vec<f64>,
    /// Moments or sums of the batch norm at work.
    pub(super) sums: Vec<f64>,
    /// Packed weights of the convolution at work, unless it takes them as they are.
    pub(super) packed: Buffer,
    pub(super) scratch: Buffer,
    pub(super) logits: Vec<f32>,
    pub(super) d_logits: Vec<f32>,
    /// Gradients of a part of the batch, before they are added to those of the parts before it.
    pub(super) part: Vec<f32>,
}
