//! Batch norm, with the ReLU and the residual sum that follow it.
//!
//! Statistics are taken chunk by chunk (mean, then squared distances from it while the chunk is
//! in the cache) and combined in f64 in the order of the chunks (Chan et al. 1979): precise, one
//! pass over memory, and the same for any number of threads.

mod passes;
#[cfg(test)]
mod tests;

use passes::{Apply, Backward, GradientSums, Moments};

use crate::{conv::ScaleShift, cpu::Cpu, element::Element, layout::padded, pool::Parts};

/// Added to the variance, as in PyTorch.
pub const EPSILON: f64 = 1e-5;
/// Weight of a new value in the running statistics, as in PyTorch.
pub const MOMENTUM: f64 = 0.1;

/// Values of a chunk: 128 KiB of f32, an eighth of a usual L2 cache.
const CHUNK: usize = 32 * 1024;

/// A batch norm over so many pixels (of all images) of so many channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    /// Pixels of the batch.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
}

/// Scale, shift and running statistics of the channels.
#[derive(Debug)]
pub struct Parameters<'a> {
    /// `weight` (gamma).
    pub weight: &'a [f32],
    /// `bias` (beta).
    pub bias: &'a [f32],
    /// `running_mean`, updated.
    pub running_mean: &'a mut [f32],
    /// `running_var` (unbiased), updated.
    pub running_var: &'a mut [f32],
}

/// Where the gradient of the residual input goes.
#[derive(Debug)]
pub struct ResidualGradient<'a, E> {
    /// A tensor like the output.
    pub gradient: &'a mut [E],
    /// Adds to what it holds.
    pub accumulate: bool,
}

/// The ReLU that follows a batch norm, in the backward pass.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a, E> {
    /// There is none.
    Open,
    /// The output, whose zeros block the gradient.
    Output(&'a [E]),
    /// The output is not stored (and nothing was added to it): it is computed again.
    Input(ScaleShift<'a>),
}

impl BatchNorm {
    fn stored(&self) -> usize {
        padded(self.channels)
    }

    fn chunk_pixels(&self) -> usize {
        (CHUNK / self.stored()).max(1)
    }

    fn chunks(&self) -> usize {
        self.pixels.div_ceil(self.chunk_pixels())
    }

    /// Values of `saved`: mean, 1/std, scale and shift for each stored channel.
    pub fn saved_len(&self) -> usize {
        4 * self.stored()
    }

    /// The batch norm as a scale and a shift, of what [`BatchNorm::statistics`] has saved.
    pub fn scale_shift<'a>(&self, saved: &'a [f32]) -> ScaleShift<'a> {
        let (scale, shift) = saved[2 * self.stored()..self.saved_len()].split_at(self.stored());
        ScaleShift { scale, shift }
    }

    /// Stored values of the batch.
    pub fn stored_len(&self) -> usize {
        self.pixels * self.stored()
    }

    /// Values of scratch.
    pub fn scratch_len(&self) -> usize {
        (2 * self.chunks() + 3) * self.stored()
    }

    /// Training, where the reader applies it: takes the batch's statistics into `saved` and the
    /// running statistics.
    pub fn statistics<E: Element>(
        &self,
        cpu: &Cpu,
        x: &[E],
        parameters: Parameters<'_>,
        saved: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (stored, chunks) = (self.stored(), self.chunks());
        let x = &x[..self.pixels * stored];
        let partial = &mut scratch[..2 * chunks * stored];
        let parts = Parts::new(partial, 2 * stored);
        cpu.pool().run(chunks, &|_, chunk| {
            // SAFETY: each item takes its own part.
            let partial = unsafe { parts.get(chunk) };
            cpu.isa().dispatch(Moments { x: self.cut(x, chunk), stored, partial });
        });
        let (mean, rest) = saved.split_at_mut(stored);
        let (inv_std, rest) = rest.split_at_mut(stored);
        let (scale, shift) = rest.split_at_mut(stored);
        let n = self.pixels as f64;
        for channel in 0..stored {
            let (m, square) = self.combine(partial, channel);
            mean[channel] = m as f32;
            inv_std[channel] = (1.0 / (square / n + EPSILON).sqrt()) as f32;
            let real = channel < self.channels;
            // A single value has no variance: PyTorch refuses it; here it leaves no trace.
            if real && self.pixels > 1 {
                let blend = |old: &mut f32, new: f64| {
                    *old = ((1.0 - MOMENTUM) * f64::from(*old) + MOMENTUM * new) as f32;
                };
                blend(&mut parameters.running_mean[channel], m);
                blend(&mut parameters.running_var[channel], square / (n - 1.0));
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

    /// Training: `out = relu?(weight * (x - mean) / std + bias + residual?)` with the batch's
    /// statistics, which `saved` keeps for the backward pass.
    pub fn forward<E: Element>(
        &self,
        cpu: &Cpu,
        x: &[E],
        parameters: Parameters<'_>,
        residual: Option<&[E]>,
        relu: bool,
        out: &mut [E],
        saved: &mut [f32],
        scratch: &mut [f32],
    ) {
        let stored = self.stored();
        let bias = parameters.bias;
        self.statistics(cpu, x, parameters, saved, scratch);
        let shift = &mut scratch[..stored];
        shift[..self.channels].copy_from_slice(bias);
        shift[self.channels..].fill(0.0);
        let (mean, scale) = (&saved[..stored], self.scale_shift(saved).scale);
        self.apply(cpu, x, mean, scale, shift, residual, relu, out);
    }

    /// `out = relu?((x - mean) * scale + shift + residual?)`, each of the three a value for every
    /// stored channel: inference, where batch norm follows no convolution to be folded into.
    pub fn apply<E: Element>(
        &self,
        cpu: &Cpu,
        x: &[E],
        mean: &[f32],
        scale: &[f32],
        shift: &[f32],
        residual: Option<&[E]>,
        relu: bool,
        out: &mut [E],
    ) {
        let stored = self.stored();
        let outs = Parts::new(&mut out[..self.pixels * stored], self.chunk_pixels() * stored);
        cpu.pool().run(self.chunks(), &|_, chunk| {
            // SAFETY: each item takes its own part.
            let out = unsafe { outs.get(chunk) };
            let (x, residual) = (self.cut(x, chunk), residual.map(|r| self.cut(r, chunk)));
            cpu.isa().dispatch(Apply { x, mean, scale, shift, residual, relu, out });
        });
    }

    /// Turns `gradient` from that of the output into that of `x`, in place. Stores the gradients
    /// of weight and bias. Where a ReLU follows, the gate tells what blocks the gradient.
    pub fn backward<E: Element>(
        &self,
        cpu: &Cpu,
        x: &[E],
        gate: Gate<'_, E>,
        weight: &[f32],
        saved: &[f32],
        gradient: &mut [E],
        residual: Option<ResidualGradient<'_, E>>,
        d_weight: &mut [f32],
        d_bias: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (stored, chunks) = (self.stored(), self.chunks());
        let gradient = &mut gradient[..self.pixels * stored];
        let (mean, inv_std) = (&saved[..stored], &saved[stored..2 * stored]);
        let (partial, rest) = scratch.split_at_mut(2 * chunks * stored);
        let parts = Parts::new(partial, 2 * stored);
        let read = &*gradient;
        cpu.pool().run(chunks, &|_, chunk| {
            // SAFETY: each item takes its own part.
            let partial = unsafe { parts.get(chunk) };
            let (x, gradient) = (self.cut(x, chunk), self.cut(read, chunk));
            let gate = self.cut_gate(gate, chunk);
            cpu.isa().dispatch(GradientSums { x, gate, gradient, mean, partial });
        });
        // dx = a * g + b * x' + c, with x' = x - mean and a value of a, b, c for each channel.
        let (a, rest) = rest.split_at_mut(stored);
        let (b, c) = rest.split_at_mut(stored);
        let n = self.pixels as f64;
        for channel in 0..stored {
            let sum = |row: usize| -> f64 {
                (0..chunks).map(|i| f64::from(partial[(2 * i + row) * stored + channel])).sum()
            };
            let real = channel < self.channels;
            let (d_shift, d_centred) = if real { (sum(0), sum(1)) } else { (0.0, 0.0) };
            let inv_std = f64::from(inv_std[channel]);
            if real {
                d_bias[channel] = d_shift as f32;
                d_weight[channel] = (d_centred * inv_std) as f32;
            }
            let scale = if real { f64::from(weight[channel]) * inv_std } else { 0.0 };
            a[channel] = scale as f32;
            b[channel] = (-scale * inv_std * inv_std * d_centred / n) as f32;
            c[channel] = (-scale * d_shift / n) as f32;
        }
        let (a, b, c) = (&*a, &*b, &c[..stored]);
        let length = self.chunk_pixels() * stored;
        let gradients = Parts::new(gradient, length);
        let (residuals, accumulate) = match residual {
            Some(r) => {
                (Some(Parts::new(&mut r.gradient[..self.pixels * stored], length)), r.accumulate)
            }
            None => (None, false),
        };
        cpu.pool().run(chunks, &|_, chunk| {
            // SAFETY: each item takes its own parts.
            let (gradient, residual) =
                unsafe { (gradients.get(chunk), residuals.as_ref().map(|r| r.get(chunk))) };
            let (x, gate) = (self.cut(x, chunk), self.cut_gate(gate, chunk));
            cpu.isa().dispatch(Backward { x, gate, mean, a, b, c, gradient, residual, accumulate });
        });
    }

    fn cut<'a, T>(&self, tensor: &'a [T], chunk: usize) -> &'a [T] {
        let start = chunk * self.chunk_pixels();
        let pixels = self.chunk_pixels().min(self.pixels - start);
        &tensor[start * self.stored()..][..pixels * self.stored()]
    }

    fn cut_gate<'a, E>(&self, gate: Gate<'a, E>, chunk: usize) -> Gate<'a, E> {
        match gate {
            Gate::Output(out) => Gate::Output(self.cut(out, chunk)),
            other => other,
        }
    }

    /// Mean, and the sum of squared distances from it, of all chunks.
    fn combine(&self, partial: &[f32], channel: usize) -> (f64, f64) {
        let stored = self.stored();
        let chunks = || {
            (0..self.chunks()).map(|i| {
                let pixels = self.chunk_pixels().min(self.pixels - i * self.chunk_pixels());
                let at = 2 * i * stored + channel;
                (pixels as f64, f64::from(partial[at]), f64::from(partial[at + stored]))
            })
        };
        let mean = chunks().map(|(n, mean, _)| n * mean).sum::<f64>() / self.pixels as f64;
        let square = chunks().map(|(n, m, square)| square + n * (m - mean) * (m - mean)).sum();
        (mean, square)
    }
}
