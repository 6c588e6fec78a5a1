//! Which algorithm a convolution takes.

use super::{
    algorithm::Algorithm,
    config::ConvConfig,
    gemm::Gemm,
    shape::Source,
    winograd::{StridedPass, UnitStridePass, Winograd},
};
use crate::cpu::{Algorithms, Cpu};

/// The algorithm of every direction that a convolution has. It follows from the configuration and
/// from what `cpu` allows, never from a clock or the number of threads.
pub(super) fn choose(config: &ConvConfig, cpu: &Cpu) -> Algorithm {
    if config.source == Source::Image || config.shape.groups > 1 {
        return Algorithm::Direct;
    }
    if cpu.algorithms() == Algorithms::Fastest {
        if Winograd::<UnitStridePass>::serves(config) {
            return Winograd::<UnitStridePass>::ALGORITHM;
        }
        if Winograd::<StridedPass>::serves(config) {
            return Winograd::<StridedPass>::ALGORITHM;
        }
    }
    if Gemm::serves(&config.shape) { Algorithm::Gemm } else { Algorithm::Direct }
}
