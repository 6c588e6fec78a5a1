//! What others do in the middle of a step.

use std::ops::Range;

use resnet_network::graph::NodeId;

/// Called while a part of a batch is trained on. Every method does nothing unless it is written.
///
/// All calls come in the order of the program, which is the same for every part, an empty one
/// included: whoever trains one network on several machines may communicate in them.
pub trait Hooks {
    /// An operation of the program is done.
    fn done(&mut self, operation: usize) {
        let _ = operation;
    }

    /// A batch norm has taken the statistics of its part of the batch. What is left in them is
    /// what the network normalises by and what its running statistics learn.
    fn statistics(&mut self, norm: NodeId, statistics: &mut Statistics<'_>) {
        let _ = (norm, statistics);
    }

    /// A batch norm has summed up its output's gradient. What is left in the sums decides the
    /// gradient of its input, over the pixels that [`Hooks::statistics`] has left.
    fn gradient_sums(&mut self, norm: NodeId, sums: &mut [f64]) {
        let _ = (norm, sums);
    }

    /// The gradients of a layer's parameters are final, as far as this part of the batch goes:
    /// `gradients` are those of `range`, added to those of the parts before. Who sums them up with
    /// others' does so in the last part. Every range of the arena comes once, the last ones first
    /// but for the order of branches.
    fn gradients(&mut self, range: Range<usize>, gradients: &mut [f32]) {
        let _ = (range, gradients);
    }
}

impl Hooks for () {}

impl<H: Hooks> Hooks for Option<H> {
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

/// Statistics of a batch norm over a part of a batch.
#[derive(Debug)]
pub struct Statistics<'a> {
    /// Pixels that they are of.
    pub count: f64,
    /// Of each channel, means and then sums of squared distances from them: `[2][channels]`,
    /// channels padded as they are stored.
    pub moments: &'a mut [f64],
}
