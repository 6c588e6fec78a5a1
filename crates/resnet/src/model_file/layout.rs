//! The layout of this library's safetensors files.

use crate::preprocess::Normalisation;

/// The highest version of the layout that is read.
pub const FORMAT_VERSION: u32 = 2;

/// The version of a file: 1, or 2 with a mean image, which programs that know version 1 would not subtract.
pub(crate) fn version(normalisation: Option<&Normalisation>) -> u32 {
    if normalisation.is_some_and(|normalisation| normalisation.mean_image.is_some()) {
        2
    } else {
        1
    }
}

/// Prefix of the names of what the optimiser keeps: then follow PyTorch's name of it, such as
/// `momentum_buffer`, and the parameter's.
pub(crate) const OPTIMIZER: &str = "optimizer.";

/// PyTorch's name of the steps of a parameter.
pub(crate) const STEP: &str = "step";

/// Prefix of the names of a run's exponential moving average, which is used by default.
pub(crate) const EMA: &str = "ema.";

/// Prefix of the names of the slow weights of lookahead, which only training uses.
pub(crate) const LOOKAHEAD: &str = "lookahead.";
