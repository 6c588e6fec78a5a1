//! Callbacks during a training step: to time operations, or to train on several machines.
//!
//! Implement [`Hooks`] and pass it to [`Engine::backward`](crate::Engine::backward). Distributed
//! training sums statistics and gradients over the machines in these callbacks, as
//! `torch.nn.SyncBatchNorm` and `DistributedDataParallel` do. Only the processor calls hooks: on a GPU, pass
//! `&mut ()`.

use std::ops::Range;

use resnet_network::graph::NodeId;

/// Callbacks of one micro-batch. Every method does nothing by default.
///
/// The calls come in the order of the program. It is the same for every micro-batch, also for an
/// empty one, so machines that train one network can communicate in the callbacks.
pub trait Hooks {
    /// Whether none of the methods does anything: what a GPU needs, which calls none.
    fn is_noop(&self) -> bool {
        false
    }

    /// Called after each operation, with its index in the program.
    fn done(&mut self, operation: usize) {
        let _ = operation;
    }

    /// Called with the statistics of a batch norm over its micro-batch. Changed values replace
    /// them: both the normalisation and the running statistics use what is left here.
    fn statistics(&mut self, norm: NodeId, statistics: &mut Statistics<'_>) {
        let _ = (norm, statistics);
    }

    /// Called with the sums of a batch norm's output gradient over its micro-batch. Changed values
    /// replace them in the gradient of the input, a mean over the count that [`Hooks::statistics`]
    /// has left.
    fn gradient_sums(&mut self, norm: NodeId, sums: &mut [f64]) {
        let _ = (norm, sums);
    }

    /// Called when the gradients of a layer's parameters are final for this micro-batch.
    /// `gradients` are those of `range`, added to those of earlier micro-batches; sum them over
    /// machines in the last one. Every range whose gradient is computed comes once per micro-batch, roughly last
    /// to first; a [frozen](crate::Engine::replan) layer's need not.
    fn gradients(&mut self, range: Range<usize>, gradients: &mut [f32]) {
        let _ = (range, gradients);
    }
}

impl Hooks for () {
    fn is_noop(&self) -> bool {
        true
    }
}

impl<H: Hooks> Hooks for Option<H> {
    fn is_noop(&self) -> bool {
        self.as_ref().is_none_or(Hooks::is_noop)
    }

    fn done(&mut self, operation: usize) {
        self.iter_mut().for_each(|hooks| hooks.done(operation));
    }

    fn statistics(&mut self, norm: NodeId, statistics: &mut Statistics<'_>) {
        self.iter_mut().for_each(|hooks| hooks.statistics(norm, statistics));
    }

    fn gradient_sums(&mut self, norm: NodeId, sums: &mut [f64]) {
        self.iter_mut().for_each(|hooks| hooks.gradient_sums(norm, sums));
    }

    fn gradients(&mut self, range: Range<usize>, gradients: &mut [f32]) {
        self.iter_mut().for_each(|hooks| hooks.gradients(range.clone(), gradients));
    }
}

/// Statistics of a batch norm over a micro-batch.
#[derive(Debug)]
pub struct Statistics<'a> {
    /// Pixels over which they are taken.
    pub count: f64,
    /// `[2][channels]`: each channel's mean, then its sum of squared deviations from the mean.
    /// Channels are padded to their stored number.
    pub moments: &'a mut [f64],
}
