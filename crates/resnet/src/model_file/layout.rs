//! The layout of this library's safetensors files.

/// Version of the layout: the one that is written, and the highest one that is read.
pub const FORMAT_VERSION: u32 = 1;

/// Prefix of the momentum buffers' names.
pub(crate) const MOMENTUM: &str = "optimizer.momentum_buffer.";

/// Prefix of the names of a run's exponential moving average, which is used by default.
pub(crate) const EMA: &str = "ema.";

/// Prefix of the names of the slow weights of lookahead, which only training uses.
pub(crate) const LOOKAHEAD: &str = "lookahead.";
