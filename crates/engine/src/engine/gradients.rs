//! The gradients of an engine, between backward and update.

use std::ops::Range;

use resnet_kernels::norm;

use super::Engine;
use crate::muon::Muon as MuonState;

impl Engine {
    /// The gradients since the last update, in the order of [`Network::values`](resnet_network::Network::values).
    pub fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    /// The same, to be changed before the update: summed over machines, or clipped.
    pub fn gradients_mut(&mut self) -> &mut [f32] {
        &mut self.gradients
    }

    /// Takes the gradients, and gives memory for others: the next micro-batch begins anew, whatever `memory`
    /// held. They are the sum of those since the last update or the last call.
    ///
    /// # Panics
    /// If there is not a value for each parameter.
    pub fn take_gradients(&mut self, memory: &mut Vec<f32>) {
        assert_eq!(memory.len(), self.gradients.len(), "memory for other gradients");
        std::mem::swap(memory, &mut self.gradients);
        self.under_way = false;
    }

    /// Drops the gradients since the last update.
    pub fn drop_gradients(&mut self) {
        self.under_way = false;
    }

    /// Multiplies the gradients by `factor`.
    pub fn scale_gradients(&mut self, factor: f32) {
        norm::scale(&self.cpu, factor, &mut self.gradients);
    }

    /// Scales the gradients so that their total norm is at most `max_norm`, as
    /// `torch.nn.utils.clip_grad_norm_`: by `max_norm / (norm + 1e-6)` if that is less than 1. Those of
    /// frozen parameters do not count. Returns the norm before.
    pub fn clip_grad_norm(&mut self, max_norm: f64) -> f64 {
        let Engine { cpu, gradients, norm_scratch, .. } = self;
        let of_muon = self.muon.iter().flat_map(MuonState::trained);
        let trained: Vec<Range<usize>> = self.optimizer.trained().chain(of_muon).collect();
        let squares = trained.iter().map(|range| {
            let scratch = &mut norm_scratch[..norm::scratch_len(range.len())];
            norm::sum_of_squares(cpu, &gradients[range.clone()], scratch)
        });
        let total = squares.sum::<f64>().sqrt();
        let factor = max_norm / (total + 1e-6);
        if factor < 1.0 {
            for range in trained {
                norm::scale(cpu, factor as f32, &mut gradients[range]);
            }
        }
        total
    }
}
