//! Errors of engines.

#[cfg(feature = "gpu")]
use resnet_gpu::GpuError;
use resnet_program::PlanError;
use thiserror::Error;

/// Why an engine or a plan cannot be made, or cannot go on.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A setting or a call that only the processor has.
    #[error("{0} is not available on a GPU")]
    CpuOnly(&'static str),
    /// The GPU failed, or cannot do it.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(GpuError),
}

impl EngineError {
    /// Whether there is too little memory, the machine's or a GPU's.
    pub fn lacks_memory(&self) -> bool {
        match self {
            EngineError::Plan(PlanError::Memory { .. }) => true,
            #[cfg(feature = "gpu")]
            EngineError::Gpu(GpuError::Memory { .. }) => true,
            _ => false,
        }
    }

    /// Whether a GPU went away in the middle of its work.
    pub fn is_lost(&self) -> bool {
        #[cfg(feature = "gpu")]
        if let EngineError::Gpu(GpuError::Lost { .. }) = self {
            return true;
        }
        false
    }
}

#[cfg(feature = "gpu")]
impl From<GpuError> for EngineError {
    fn from(error: GpuError) -> Self {
        match error {
            GpuError::Plan(error) => EngineError::Plan(error),
            error => EngineError::Gpu(error),
        }
    }
}
