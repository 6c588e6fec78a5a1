//! Updates of parameters by their gradients, and of the average.

use std::ops::Range;

use resnet_kernels::muon;

use super::GpuEngine;
use crate::{
    GpuError,
    update::{Rule, UpdateRange},
};

impl GpuEngine {
    /// Scales the gradients of some parameters so that their total norm is at most `max_norm`, as
    /// `torch.nn.utils.clip_grad_norm_`. Returns the norm before. Waits for the device.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn clip_grad_norm(
        &mut self,
        trained: &[Range<usize>],
        max_norm: f64,
    ) -> Result<f64, GpuError> {
        if trained.is_empty() {
            return Ok(0.0);
        }
        let total = self.updates.sum_of_squares(&self.gpu, trained)?.sqrt();
        let factor = max_norm / (total + 1e-6);
        if factor < 1.0 {
            self.updates.scale(&self.gpu, trained, factor as f32);
        }
        self.gpu.check()?;
        Ok(total)
    }

    /// Multiplies all gradients.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn scale_gradients(&mut self, factor: f32) -> Result<(), GpuError> {
        let all = 0..self.network.values().len();
        self.updates.scale(&self.gpu, &[all], factor);
        self.gpu.check()
    }

    /// One update of the parameters of some ranges, in ascending order. Others stay.
    ///
    /// # Errors
    /// If the device was lost.
    ///
    /// # Panics
    /// If there are more ranges than parameters.
    pub fn update(&mut self, rule: Rule, ranges: &[UpdateRange]) -> Result<(), GpuError> {
        assert_eq!(rule.buffers(), self.settings.buffers, "a rule of another optimiser");
        self.updates.run(&self.gpu, rule, ranges);
        self.loaded = None;
        self.gpu.check()
    }

    /// One update of the weight of a range by Muon, whose momentum is that of SGD.
    ///
    /// # Errors
    /// If the device was lost.
    ///
    /// # Panics
    /// If the engine was made without [`Settings::muon`](crate::Settings::muon), or Muon does not train such a weight.
    pub fn update_by_muon(
        &mut self,
        range: &Range<usize>,
        update: muon::Update,
    ) -> Result<(), GpuError> {
        let muon = self.muon.as_ref().expect("an engine with Muon");
        muon.run(&self.gpu, range, update);
        self.loaded = None;
        self.gpu.check()
    }

    /// Moves the average, running statistics included: `average = decay average + (1 - decay) network`. With `back`
    /// the network takes its values then.
    ///
    /// # Errors
    /// If the device was lost.
    ///
    /// # Panics
    /// If there is none.
    pub fn update_average(&mut self, decay: f64, back: bool) -> Result<(), GpuError> {
        assert!(self.average.is_some(), "the engine keeps an average");
        self.updates.average(&self.gpu, decay, back);
        if !back {
            for (average, (count, _)) in self.average_tracked.iter_mut().zip(&self.tracked) {
                *average = *count;
            }
        }
        self.loaded = None;
        self.gpu.check()
    }
}
