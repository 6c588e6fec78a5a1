//! The backward pass.

use super::{
    passes::{ApplyBackward, GradientSums},
    shape::BatchNorm,
    slope::{ActivationSlope, Mask, ResidualGradient, Slope, SmoothSlope},
};
use crate::{
    activation::by_smooth,
    check::{at_least, exactly, same_dtype},
    chunks::DisjointChunks,
    conv::ScaleShift,
    cpu::Cpu,
    memory::as_f64,
    scalar::{Scalar, by_scalar},
    values::{Values, ValuesMut},
};

/// Runs a body with a slope of values of a type.
macro_rules! by_slope {
    ($slope:expr, $T:ty, $of:ident => $body:expr) => {
        match $slope {
            ActivationSlope::Smooth { function, norm, residual } => {
                let residual = residual.map(<$T>::slice);
                by_smooth!(function, function => {
                    let $of = SmoothSlope { function, norm, residual };
                    $body
                })
            }
            other => {
                let $of = Mask::of(other);
                $body
            }
        }
    };
}

impl BatchNorm {
    /// Turns `gradient` from that of the output into that of `x`, in place. Stores the gradients of
    /// weight and bias. `slope` is that of the activation that follows, if
    /// any.
    ///
    /// # Panics
    /// If dtypes differ, a slice is too short, or a parameter or its gradient has not a value for
    /// each channel.
    pub fn backward(
        &self,
        cpu: &Cpu,
        x: Values<'_>,
        slope: ActivationSlope<'_>,
        weight: &[f32],
        saved: &[f32],
        gradient: ValuesMut<'_>,
        residual: Option<ResidualGradient<'_>>,
        d_weight: &mut [f32],
        d_bias: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.check_data(x, weight, residual.as_ref());
        at_least("scratch", scratch.len(), self.scratch_len());
        let (sums, scratch) = scratch.split_at_mut(self.own_sums_len());
        let sums = &mut as_f64(sums)[..self.sums_len()];
        let read = gradient.as_values();
        self.gradient_sums(cpu, x, slope, saved, read, d_weight, d_bias, sums, scratch);
        let count = self.batch_pixels as f64;
        self.backward_data(cpu, count, sums, x, slope, weight, saved, gradient, residual, scratch);
    }

    /// The first half of [`BatchNorm::backward`]: stores the gradients of weight and bias, and in
    /// `sums` the sum of the gradient `g` of the output for each stored channel, then the sum of
    /// `g * (x - mean)` for each. Sums of several machines may be added.
    ///
    /// # Panics
    /// If dtypes differ, a slice is too short (`sums` takes [`BatchNorm::sums_len`] values), or a
    /// gradient has not a value for each channel.
    pub fn gradient_sums(
        &self,
        cpu: &Cpu,
        x: Values<'_>,
        slope: ActivationSlope<'_>,
        saved: &[f32],
        gradient: Values<'_>,
        d_weight: &mut [f32],
        d_bias: &mut [f32],
        sums: &mut [f64],
        scratch: &mut [f32],
    ) {
        self.check(x, slope, saved, gradient);
        self.each_channel("gradient of the weight", d_weight);
        self.each_channel("gradient of the bias", d_bias);
        at_least("sums", sums.len(), self.sums_len());
        at_least("scratch", scratch.len(), self.passes_len());
        by_scalar!(x.dtype(), T => {
            let (x, gradient) = (T::slice(x), T::slice(gradient));
            by_slope!(slope, T, slope => {
                self.gradient_sums_of(cpu, x, slope, saved, gradient, sums, scratch)
            })
        });
        let inv_std = &saved[self.stored()..];
        let (shifts, centred) = sums.split_at(self.stored());
        for channel in 0..self.channels {
            d_bias[channel] = shifts[channel] as f32;
            d_weight[channel] = (centred[channel] * f64::from(inv_std[channel])) as f32;
        }
    }

    fn gradient_sums_of<T: Scalar, S: Slope<T>>(
        &self,
        cpu: &Cpu,
        x: &[T],
        slope: S,
        saved: &[f32],
        gradient: &[T],
        sums: &mut [f64],
        scratch: &mut [f32],
    ) {
        let (stored, chunks) = (self.stored(), self.chunks());
        let mean = &saved[..stored];
        let partial = &mut scratch[..2 * chunks * stored];
        let parts = DisjointChunks::new(partial, 2 * stored);
        cpu.pool().run_chunks(chunks, parts, |chunk, partial| {
            let (x, gradient) = (self.cut(x, chunk), self.cut(gradient, chunk));
            let slope = slope.cut(self, chunk);
            cpu.isa().dispatch(GradientSums { x, slope, gradient, mean, partial });
        });
        for (row, sums) in sums[..self.sums_len()].chunks_exact_mut(stored).enumerate() {
            let (real, padding) = sums.split_at_mut(self.channels);
            for (channel, sum) in real.iter_mut().enumerate() {
                let part = |i: usize| f64::from(partial[(2 * i + row) * stored + channel]);
                *sum = (0..chunks).map(part).sum();
            }
            padding.fill(0.0);
        }
    }

    /// The second half of [`BatchNorm::backward`], given the sums over `count` pixels.
    ///
    /// # Panics
    /// If dtypes differ, a slice is too short, or `weight` has not a value for each channel.
    pub fn backward_data(
        &self,
        cpu: &Cpu,
        count: f64,
        sums: &[f64],
        x: Values<'_>,
        slope: ActivationSlope<'_>,
        weight: &[f32],
        saved: &[f32],
        gradient: ValuesMut<'_>,
        residual: Option<ResidualGradient<'_>>,
        scratch: &mut [f32],
    ) {
        self.check(x, slope, saved, gradient.as_values());
        self.check_data(x, weight, residual.as_ref());
        at_least("sums", sums.len(), self.sums_len());
        at_least("scratch", scratch.len(), self.passes_len());
        // dx = a * g + b * x' + c, with x' = x - mean and a value of a, b, c for each channel.
        let stored = self.stored();
        let (mean, inv_std) = (&saved[..stored], &saved[stored..2 * stored]);
        let (shifts, centred) = sums[..self.sums_len()].split_at(stored);
        let (a, rest) = scratch.split_at_mut(stored);
        let (b, c) = rest.split_at_mut(stored);
        for channel in 0..stored {
            let inv_std = f64::from(inv_std[channel]);
            let weight = if channel < self.channels { f64::from(weight[channel]) } else { 0.0 };
            let scale = weight * inv_std;
            a[channel] = scale as f32;
            b[channel] = (-scale * inv_std * inv_std * centred[channel] / count) as f32;
            c[channel] = (-scale * shifts[channel] / count) as f32;
        }
        let factors = [mean, a, b, &c[..stored]];
        by_scalar!(x.dtype(), T => {
            let (accumulate, residual) = match residual {
                Some(r) => (r.accumulate, Some(T::slice_mut(r.gradient))),
                None => (false, None),
            };
            let (x, gradient) = (T::slice(x), T::slice_mut(gradient));
            by_slope!(slope, T, slope => {
                self.backward_data_of(cpu, x, slope, factors, gradient, residual, accumulate)
            })
        });
    }

    /// Checks what both halves read.
    #[track_caller]
    fn check(
        &self,
        x: Values<'_>,
        slope: ActivationSlope<'_>,
        saved: &[f32],
        gradient: Values<'_>,
    ) {
        let all = self.stored_len();
        at_least("input", x.len(), all);
        at_least("gradient of the output", gradient.len(), all);
        same_dtype(gradient.dtype(), x.dtype());
        at_least("saved", saved.len(), self.saved_len());
        let fits = |norm: ScaleShift<'_>| {
            exactly("scale", norm.scale.len(), self.stored());
            exactly("shift", norm.shift.len(), self.stored());
        };
        match slope {
            ActivationSlope::None => {}
            ActivationSlope::Output(out) => {
                at_least("output", out.len(), all);
                same_dtype(out.dtype(), x.dtype());
            }
            ActivationSlope::Recomputed(norm) => fits(norm),
            ActivationSlope::Smooth { norm, residual, .. } => {
                fits(norm);
                if let Some(residual) = residual {
                    at_least("residual", residual.len(), all);
                    same_dtype(residual.dtype(), x.dtype());
                }
            }
        }
    }

    /// Checks what only the second half reads and writes.
    #[track_caller]
    fn check_data(&self, x: Values<'_>, weight: &[f32], residual: Option<&ResidualGradient<'_>>) {
        self.each_channel("weight", weight);
        if let Some(residual) = residual {
            at_least("gradient of the residual", residual.gradient.len(), self.stored_len());
            same_dtype(residual.gradient.dtype(), x.dtype());
        }
    }

    fn backward_data_of<T: Scalar, S: Slope<T>>(
        &self,
        cpu: &Cpu,
        x: &[T],
        slope: S,
        [mean, a, b, c]: [&[f32]; 4],
        gradient: &mut [T],
        residual: Option<&mut [T]>,
        accumulate: bool,
    ) {
        let length = self.chunk_pixels() * self.stored();
        let gradients = DisjointChunks::new(&mut gradient[..self.stored_len()], length);
        let residuals = residual.map(|r| DisjointChunks::new(&mut r[..self.stored_len()], length));
        let parts = (gradients, residuals);
        cpu.pool().run_chunks(self.chunks(), parts, |chunk, (gradient, residual)| {
            let (x, slope) = (self.cut(x, chunk), slope.cut(self, chunk));
            cpu.isa().dispatch(ApplyBackward {
                x,
                slope,
                mean,
                a,
                b,
                c,
                gradient,
                residual,
                accumulate,
            });
        });
    }
}
