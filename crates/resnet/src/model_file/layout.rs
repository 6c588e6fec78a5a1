//! The layout of this library's safetensors files.

/// Version of the layout: the one that is written, and the highest one that is read.
pub const FORMAT_VERSION: u32 = 1;

/// Prefix of the momentum buffers' names.
pub(crate) const MOMENTUM: &str = "optimizer.momentum_buffer.";
