//! Which algorithm a convolution takes.

use super::{
    algorithm::Algorithm,
    gemm::Gemm,
    shape::{ConvShape, Source},
    winograd::{Strided, Winograd},
};
use crate::{
    cpu::{Algorithms, Cpu},
    values::Dtype,
};

/// The algorithm of every direction that a convolution of up to `batch` images has. It follows from the
/// shape, the dtype, the largest batch and what `cpu` allows, never from a clock or the number of
/// threads.
pub(super) fn choose(
    shape: &ConvShape,
    dtype: Dtype,
    source: Source,
    batch: usize,
    cpu: &Cpu,
) -> Algorithm {
    if source == Source::Image {
        return Algorithm::Direct;
    }
    if cpu.algorithms() == Algorithms::Fastest {
        if Winograd::serves(shape, dtype) {
            return Winograd::ALGORITHM;
        }
        if Strided::serves(shape, dtype, batch) {
            return Strided::ALGORITHM;
        }
    }
    if Gemm::serves(shape) { Algorithm::Gemm } else { Algorithm::Direct }
}
