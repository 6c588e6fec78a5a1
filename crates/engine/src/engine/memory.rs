//! Whether an engine fits into memory, and which batch does.

use resnet_network::graph::Graph;
use resnet_program::{PlanError, memory};

#[cfg(feature = "gpu")]
use super::on_gpu::GpuTrainer;
use super::{Engine, EngineConfig, on_cpu::CpuEngine};
use crate::{Device, EngineError};

impl Engine {
    /// Checks that there is memory for a network and an engine for it, before either is made, and for
    /// `kept` bytes of something else. A GPU is not asked: [`Engine::new`] and [`Engine::largest_batch`] find out.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn check(
        graph: &Graph,
        config: &EngineConfig,
        kept: usize,
        device: impl Into<Device>,
    ) -> Result<(), PlanError> {
        match device.into() {
            Device::Cpu(cpu) => CpuEngine::check(graph, config, kept, &cpu),
            #[cfg(feature = "gpu")]
            Device::Gpu(..) => {
                graph.shapes(config.height, config.width)?;
                Ok(())
            }
        }
    }

    /// The largest batch, up to that of the settings, that there is memory for next to `kept` bytes of something else in
    /// the machine's memory; 0 if there is none for one image. A GPU's memory is taken for a moment.
    ///
    /// # Errors
    /// If the graph does not fit the image size or breaks a [rule](Graph::check), or a GPU was lost.
    pub fn largest_batch(
        graph: &Graph,
        config: &EngineConfig,
        kept: usize,
        device: impl Into<Device>,
    ) -> Result<usize, EngineError> {
        match device.into() {
            Device::Cpu(cpu) => {
                memory::largest_batch(config.batch, |batch| {
                    match CpuEngine::check(graph, &EngineConfig { batch, ..*config }, kept, &cpu) {
                        Ok(()) => Ok(true),
                        Err(PlanError::Memory { .. }) => Ok(false),
                        Err(error) => Err(error.into()),
                    }
                })
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => GpuTrainer::largest_batch(graph, config, kept, &gpu),
        }
    }
}
