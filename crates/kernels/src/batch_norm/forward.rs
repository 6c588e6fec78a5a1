//! Statistics, and the pass that applies them.

use super::{
    passes::{Apply, Moments},
    shape::BatchNorm,
};
use crate::{
    activation::{Activation, Function, Rectified, by_smooth},
    check::{at_least, exactly, same_dtype},
    chunks::DisjointChunks,
    cpu::Cpu,
    memory::as_f64,
    scalar::{Scalar, by_scalar},
    values::{Values, ValuesMut},
};

/// What PyTorch adds to a variance by default (`eps`).
pub const EPSILON: f64 = 1e-5;
/// Weight of a new value in the running statistics in PyTorch by default (`momentum`).
pub const MOMENTUM: f64 = 0.1;

/// Scale, shift and running statistics of the channels.
#[derive(Debug)]
pub struct NormParameters<'a> {
    /// `weight` (gamma).
    pub weight: &'a [f32],
    /// `bias` (beta).
    pub bias: &'a [f32],
    /// `running_mean`, updated.
    pub running_mean: &'a mut [f32],
    /// `running_var` (unbiased), updated.
    pub running_var: &'a mut [f32],
    /// Weight of a new value in the running statistics, in [0, 1].
    pub momentum: f64,
}

/// Count, mean and sum of squared distances from the mean of several parts together, each given by
/// its own three (Chan et al. 1979).
pub fn merge(parts: impl Iterator<Item = (f64, f64, f64)> + Clone) -> (f64, f64, f64) {
    let count: f64 = parts.clone().map(|(n, _, _)| n).sum();
    let mean = parts.clone().map(|(n, mean, _)| n * mean).sum::<f64>() / count;
    let squares = parts.map(|(n, m, squares)| squares + n * (m - mean) * (m - mean)).sum();
    (count, mean, squares)
}

impl BatchNorm {
    /// Training, where the batch norm is fused into the load of the next convolution: computes the
    /// batch's statistics to `saved`, and updates the running statistics.
    ///
    /// # Panics
    /// If a slice is too short, or one of the parameters has not a value for each channel.
    pub fn statistics(
        &self,
        cpu: &Cpu,
        x: Values<'_>,
        parameters: NormParameters<'_>,
        saved: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.check_finish(&parameters, saved);
        at_least("input", x.len(), self.stored_len());
        at_least("scratch", scratch.len(), self.scratch_len());
        let (moments, scratch) = scratch.split_at_mut(self.own_sums_len());
        let moments = &mut as_f64(moments)[..self.sums_len()];
        self.moments(cpu, x, moments, scratch);
        self.finish_statistics(self.batch_pixels as f64, moments, parameters, saved);
    }

    /// The first half of [`BatchNorm::statistics`]: the mean of the batch's pixels for each stored
    /// channel, then the sum of squared distances from it for each. [`merge`] combines those of
    /// several machines.
    ///
    /// # Panics
    /// If a slice is too short: `moments` takes [`BatchNorm::sums_len`] values.
    pub fn moments(&self, cpu: &Cpu, x: Values<'_>, moments: &mut [f64], scratch: &mut [f32]) {
        at_least("input", x.len(), self.stored_len());
        at_least("moments", moments.len(), self.sums_len());
        at_least("scratch", scratch.len(), self.passes_len());
        by_scalar!(x.dtype(), T => self.moments_of(cpu, T::slice(x), moments, scratch));
    }

    fn moments_of<T: Scalar>(&self, cpu: &Cpu, x: &[T], moments: &mut [f64], scratch: &mut [f32]) {
        let (stored, chunks) = (self.stored(), self.chunks());
        let partial = &mut scratch[..2 * chunks * stored];
        let parts = DisjointChunks::new(partial, 2 * stored);
        cpu.pool().run_chunks(chunks, parts, |chunk, partial| {
            cpu.isa().dispatch(Moments { x: self.cut(x, chunk), stored, partial });
        });
        let (means, squares) = moments[..self.sums_len()].split_at_mut(stored);
        for channel in 0..stored {
            let part = |chunk: usize| {
                let at = 2 * chunk * stored + channel;
                let (mean, square) = (partial[at], partial[at + stored]);
                (self.chunk_len(chunk) as f64, f64::from(mean), f64::from(square))
            };
            (_, means[channel], squares[channel]) = merge((0..chunks).map(part));
        }
    }

    /// The second half of [`BatchNorm::statistics`]: from the moments of `count` pixels.
    ///
    /// # Panics
    /// If a slice is too short, or one of the parameters has not a value for each channel.
    pub fn finish_statistics(
        &self,
        count: f64,
        moments: &[f64],
        parameters: NormParameters<'_>,
        saved: &mut [f32],
    ) {
        at_least("moments", moments.len(), self.sums_len());
        self.check_finish(&parameters, saved);
        let stored = self.stored();
        let (means, squares) = moments[..self.sums_len()].split_at(stored);
        let (mean, rest) = saved.split_at_mut(stored);
        let (inv_std, rest) = rest.split_at_mut(stored);
        let (scale, shift) = rest.split_at_mut(stored);
        for channel in 0..stored {
            let (m, square) = (means[channel], squares[channel]);
            mean[channel] = m as f32;
            inv_std[channel] = (1.0 / (square / count + self.epsilon).sqrt()) as f32;
            let real = channel < self.channels;
            // A single value has no variance. PyTorch refuses it; here it changes nothing.
            if real && count > 1.0 {
                let momentum = parameters.momentum;
                let blend = |old: &mut f32, new: f64| {
                    *old = ((1.0 - momentum) * f64::from(*old) + momentum * new) as f32;
                };
                blend(&mut parameters.running_mean[channel], m);
                blend(&mut parameters.running_var[channel], square / (count - 1.0));
            }
            let (weight, bias) = if real {
                (parameters.weight[channel], parameters.bias[channel])
            } else {
                (0.0, 0.0)
            };
            scale[channel] = weight * inv_std[channel];
            shift[channel] = (-mean[channel]).mul_add(scale[channel], bias);
        }
    }

    /// What [`BatchNorm::finish_statistics`] saves, of the running statistics (`.eval()` in PyTorch), each
    /// of weight, bias, mean and variance with a value for each channel.
    ///
    /// # Panics
    /// If a slice is too short, or one of the parameters has not a value for each channel.
    pub fn running_statistics(
        &self,
        [weight, bias, running_mean, running_var]: [&[f32]; 4],
        saved: &mut [f32],
    ) {
        at_least("saved", saved.len(), self.saved_len());
        self.each_channel("weight", weight);
        self.each_channel("bias", bias);
        self.each_channel("running mean", running_mean);
        self.each_channel("running variance", running_var);
        saved[..self.saved_len()].fill(0.0);
        let stored = self.stored();
        for channel in 0..self.channels {
            let mean = running_mean[channel];
            let variance = f64::from(running_var[channel]);
            let inv_std = (1.0 / (variance + self.epsilon).sqrt()) as f32;
            let scale = weight[channel] * inv_std;
            let shift = (-mean).mul_add(scale, bias[channel]);
            for (row, value) in [mean, inv_std, scale, shift].into_iter().enumerate() {
                saved[row * stored + channel] = value;
            }
        }
    }

    /// Training: `out = activation?(weight * (x - mean) / std + bias + residual?)` with the batch's
    /// statistics, which `saved` keeps for the backward pass.
    ///
    /// # Panics
    /// If dtypes differ, a slice is too short, or one of the parameters has not a value for each
    /// channel.
    pub fn forward(
        &self,
        cpu: &Cpu,
        x: Values<'_>,
        parameters: NormParameters<'_>,
        residual: Option<Values<'_>>,
        activation: Option<Activation>,
        out: ValuesMut<'_>,
        saved: &mut [f32],
        scratch: &mut [f32],
    ) {
        let bias = parameters.bias;
        self.check_apply(x, residual, &out);
        self.check_finish(&parameters, saved);
        self.statistics(cpu, x, parameters, saved, scratch);
        self.normalize(cpu, x, bias, residual, activation, out, saved, scratch);
    }

    /// The second half of [`BatchNorm::forward`], with the statistics that `saved` holds.
    ///
    /// # Panics
    /// If dtypes differ, a slice is too short, or `bias` has not a value for each channel.
    pub fn normalize(
        &self,
        cpu: &Cpu,
        x: Values<'_>,
        bias: &[f32],
        residual: Option<Values<'_>>,
        activation: Option<Activation>,
        out: ValuesMut<'_>,
        saved: &[f32],
        scratch: &mut [f32],
    ) {
        let stored = self.stored();
        self.check_apply(x, residual, &out);
        self.each_channel("bias", bias);
        at_least("saved", saved.len(), self.saved_len());
        at_least("scratch", scratch.len(), stored);
        let shift = &mut scratch[..stored];
        shift[..self.channels].copy_from_slice(bias);
        shift[self.channels..].fill(0.0);
        let (mean, scale) = (&saved[..stored], self.scale_shift(saved).scale);
        self.apply(cpu, x, mean, scale, shift, residual, activation, out);
    }

    /// `out = activation?((x - mean) * scale + shift + residual?)`, each of the three a value for every
    /// stored channel: inference, where batch norm follows no convolution to be folded into.
    ///
    /// # Panics
    /// If dtypes differ, or a slice is too short.
    pub fn apply(
        &self,
        cpu: &Cpu,
        x: Values<'_>,
        mean: &[f32],
        scale: &[f32],
        shift: &[f32],
        residual: Option<Values<'_>>,
        activation: Option<Activation>,
        out: ValuesMut<'_>,
    ) {
        let stored = self.stored();
        self.check_apply(x, residual, &out);
        exactly("mean", mean.len(), stored);
        exactly("scale", scale.len(), stored);
        exactly("shift", shift.len(), stored);
        by_scalar!(x.dtype(), T => {
            let (x, residual, out) = (T::slice(x), residual.map(T::slice), T::slice_mut(out));
            let factors = [mean, scale, shift];
            match activation {
                None => self.apply_of(cpu, x, factors, residual, Rectified(false), out),
                Some(Activation::Relu) => {
                    self.apply_of(cpu, x, factors, residual, Rectified(true), out)
                }
                Some(Activation::Smooth(smooth)) => by_smooth!(smooth, function => {
                    self.apply_of(cpu, x, factors, residual, function, out)
                }),
            }
        });
    }

    /// Checks where statistics go, and the parameters.
    #[track_caller]
    fn check_finish(&self, parameters: &NormParameters<'_>, saved: &[f32]) {
        at_least("saved", saved.len(), self.saved_len());
        self.each_channel("weight", parameters.weight);
        self.each_channel("bias", parameters.bias);
        self.each_channel("running mean", parameters.running_mean);
        self.each_channel("running variance", parameters.running_var);
    }

    /// Checks what is normalised, and where it goes.
    #[track_caller]
    fn check_apply(&self, x: Values<'_>, residual: Option<Values<'_>>, out: &ValuesMut<'_>) {
        let all = self.stored_len();
        at_least("input", x.len(), all);
        at_least("output", out.len(), all);
        same_dtype(out.dtype(), x.dtype());
        if let Some(residual) = residual {
            at_least("residual", residual.len(), all);
            same_dtype(residual.dtype(), x.dtype());
        }
    }

    fn apply_of<T: Scalar, F: Function>(
        &self,
        cpu: &Cpu,
        x: &[T],
        [mean, scale, shift]: [&[f32]; 3],
        residual: Option<&[T]>,
        activation: F,
        out: &mut [T],
    ) {
        let stored = self.stored();
        let outs = DisjointChunks::new(&mut out[..self.stored_len()], self.chunk_pixels() * stored);
        cpu.pool().run_chunks(self.chunks(), outs, |chunk, out| {
            let (x, residual) = (self.cut(x, chunk), residual.map(|r| self.cut(r, chunk)));
            cpu.isa().dispatch(Apply { x, mean, scale, shift, residual, activation, out });
        });
    }
}
