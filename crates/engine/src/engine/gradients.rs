//! What lies between backward and update: gradients and running statistics.

use super::{Engine, On, on};
use crate::EngineError;

impl Engine {
    /// The gradients since the last update, in the order of [`Network::values`](resnet_network::Network::values).
    /// Of [frozen](Engine::replan) parameters they need not be computed: what is there means nothing.
    ///
    /// # Errors
    /// On a GPU.
    pub fn gradients(&self) -> Result<&[f32], EngineError> {
        Ok(self.on_cpu().ok_or(GRADIENTS)?.gradients())
    }

    /// The same, to be changed before the update: summed over machines, or clipped.
    ///
    /// # Errors
    /// On a GPU.
    pub fn gradients_mut(&mut self) -> Result<&mut [f32], EngineError> {
        Ok(self.on_cpu_mut().ok_or(GRADIENTS)?.gradients_mut())
    }

    /// Takes the gradients, and gives memory for others: the next micro-batch starts new sums, whatever `memory`
    /// held. They are the sum of those since the last update or the last call.
    ///
    /// # Errors
    /// On a GPU.
    ///
    /// # Panics
    /// If there is not a value for each parameter.
    pub fn take_gradients(&mut self, memory: &mut Vec<f32>) -> Result<(), EngineError> {
        self.on_cpu_mut().ok_or(GRADIENTS)?.take_gradients(memory);
        self.under_way = false;
        Ok(())
    }

    /// Drops the gradients since the last update.
    pub fn drop_gradients(&mut self) {
        self.under_way = false;
    }

    /// Multiplies the gradients by `factor`.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    pub fn scale_gradients(&mut self, factor: f32) -> Result<(), EngineError> {
        on!(&mut self.on, it => { it.scale_gradients(factor); Ok(()) }, it.scale_gradients(factor))
    }

    /// Scales the gradients so that their total norm is at most `max_norm`, as
    /// `torch.nn.utils.clip_grad_norm_`: by `max_norm / (norm + 1e-6)` if that is less than 1. Those of
    /// frozen parameters do not count.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    pub fn clip_grad_norm(&mut self, max_norm: f64) -> Result<(), EngineError> {
        on!(&mut self.on, it => { it.clip_grad_norm(max_norm); Ok(()) }, it.clip_grad_norm(max_norm))
    }

    /// The running statistics, in the order of [`Network::running_values`](resnet_network::Network::running_values),
    /// and the `num_batches_tracked` of each batch norm: to be combined with those of other parts of a batch.
    ///
    /// # Errors
    /// On a GPU.
    pub fn running_mut(&mut self) -> Result<(&mut [f32], &mut [i64]), EngineError> {
        let engine = self.on_cpu_mut();
        Ok(engine.ok_or(EngineError::CpuOnly("a change of running statistics"))?.running_mut())
    }
}

const GRADIENTS: EngineError = EngineError::CpuOnly("access to gradients");
