//! The layout of safetensors files.

/// Version of the layout that is written, and the highest that is read.
pub const FORMAT_VERSION: u32 = 1;

/// Prefix of the optimiser's tensors.
pub(crate) const MOMENTUM: &str = "optimizer.momentum_buffer.";
