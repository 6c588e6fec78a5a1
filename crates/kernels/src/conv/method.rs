//! The algorithms behind a convolution.

use super::{
    algorithm::{Algorithm, Direction},
    config::ConvConfig,
    direct::Direct,
    gemm::Gemm,
    winograd::{StridedPass, UnitStridePass, Winograd},
};
use crate::{cpu::Cpu, memory::OutOfMemory, scalar::Scalar};

/// The chosen algorithm, prepared.
#[derive(Debug)]
pub(super) enum Method {
    Winograd(Winograd<UnitStridePass>),
    Strided(Winograd<StridedPass>),
    Gemm(Gemm),
    Direct(Direct),
}

impl Method {
    /// Prepares an algorithm, for activations stored as `T`.
    ///
    /// # Errors
    /// If the system refuses the memory of its tables.
    pub(super) fn new<T: Scalar>(
        algorithm: Algorithm,
        config: &ConvConfig,
        cpu: &Cpu,
    ) -> Result<Self, OutOfMemory> {
        Ok(match algorithm {
            Algorithm::Winograd { stride: 1, .. } => {
                Method::Winograd(Winograd::<UnitStridePass>::new::<T>(config, cpu))
            }
            Algorithm::Winograd { .. } => {
                Method::Strided(Winograd::<StridedPass>::new::<T>(config, cpu))
            }
            Algorithm::Gemm => Method::Gemm(Gemm::new::<T>(config)),
            Algorithm::Direct => Method::Direct(Direct::new::<T>(config, cpu)?),
        })
    }

    /// Words of packed weights, for either direction.
    pub(super) fn packed_len(&self) -> usize {
        match self {
            Method::Winograd(m) => m.packed_len(),
            Method::Strided(m) => m.packed_len(),
            Method::Gemm(m) => m.packed_len(),
            Method::Direct(m) => m.packed_len(),
        }
    }

    /// Values of scratch, for any call with up to `batch` images.
    pub(super) fn scratch_len(&self, batch: usize, cpu: &Cpu) -> usize {
        match self {
            Method::Winograd(m) => m.scratch_len(cpu),
            Method::Strided(m) => m.scratch_len(cpu),
            Method::Gemm(m) => m.scratch_len(cpu, batch),
            Method::Direct(m) => m.scratch_len(cpu, batch),
        }
    }

    /// Whether a call of this direction packs the weights itself.
    pub(super) fn packs_in_call(&self, direction: Direction) -> bool {
        match self {
            Method::Winograd(m) => m.packs_in_call(direction),
            Method::Strided(m) => m.packs_in_call(direction),
            Method::Gemm(_) | Method::Direct(_) => false,
        }
    }
}
