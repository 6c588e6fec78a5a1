//! Batch norms, forward and backward. Their statistics are over the pixels of all shards of a batch.

use resnet_kernels::{
    batch_norm::{BatchNormShape, MOMENTUM},
    layout::padded,
};
use resnet_network::{Network, graph::NodeId};

use super::interpreter::Interpreter;
use crate::program::{Compute, Sink, Slope, Span};

/// What a batch norm does with all shards at once: statistics in the forward pass, gradients in the backward pass.
/// Nothing, if the operation is another one.
pub(super) fn over_shards(
    shards: &mut [Interpreter<'_>],
    net: &Network,
    head: NodeId,
    compute: &Compute,
) {
    match compute {
        Compute::BatchNormStatistics { norm, x, saved, running }
        | Compute::BatchNorm { norm, x, saved: Some(saved), running, .. } => {
            statistics(shards, net, head, norm, x, (saved, *running));
        }
        Compute::BatchNormBackward { norm, x, slope, saved, running, dy, d_residual, dx } => {
            let read = (x, slope, saved, *running);
            backward(shards, net, head, norm, read, (dy, d_residual, dx));
        }
        _ => {}
    }
}

/// The pixels of all shards.
fn pixels(shards: &[Interpreter<'_>], norm: &BatchNormShape) -> f64 {
    let images: usize = shards.iter().map(|shard| shard.n).sum();
    (images * norm.image_pixels) as f64
}

/// Saves the batch statistics with scale and shift, and updates the running statistics; or saves these. Every shard
/// has the same.
fn statistics(
    shards: &mut [Interpreter<'_>],
    net: &Network,
    head: NodeId,
    norm: &BatchNormShape,
    x: &Span,
    (saved, running): (&Span, bool),
) {
    let (stored, count) = (padded(norm.channels), pixels(shards, norm));
    let [weight, bias] = net.weight_and_bias(head).map(|at| &net.values()[at]);
    let (running_mean, running_var) = net.running(head);
    let mut moved =
        [running_mean, running_var].map(|r| r.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
    for c in 0..norm.channels {
        let of_channel = || {
            shards.iter().flat_map(move |shard| {
                let x = &shard.values[x.start..][..shard.n * norm.image_pixels * stored];
                x.iter().skip(c).step_by(stored)
            })
        };
        let mut mean = of_channel().sum::<f64>() / count;
        let square = of_channel().map(|x| (x - mean).powi(2)).sum::<f64>();
        let mut variance = square / count;
        if running {
            [mean, variance] = [moved[0][c], moved[1][c]];
        }
        let row =
            [mean, (variance + norm.epsilon).sqrt().recip(), weight[c].into(), bias[c].into()];
        for shard in &mut *shards {
            for (i, value) in row.into_iter().enumerate() {
                shard.saved[saved.start + i * stored + c] = value;
            }
        }
        if count > 1.0 && !running {
            for (moved, new) in moved.iter_mut().zip([mean, square / (count - 1.0)]) {
                moved[c] = (1.0 - MOMENTUM) * moved[c] + MOMENTUM * new;
            }
        }
    }
    for shard in shards {
        shard.running.push((head, moved.clone()));
    }
}

/// The gradients of weight and bias are each shard's own; that of the input needs the sums over all.
fn backward(
    shards: &mut [Interpreter<'_>],
    net: &Network,
    head: NodeId,
    norm: &BatchNormShape,
    (x, slope, saved, running): (&Span, &Slope, &Span, bool),
    (dy, d_residual, dx): (&Span, &Option<Sink>, &Option<Sink>),
) {
    let [weight, bias] = net.weight_and_bias(head);
    let count = pixels(shards, norm);
    let mut sums = vec![[0.0; 2]; norm.channels];
    let mut gradients = Vec::new();
    for shard in &mut *shards {
        let g = shard.before_activation(norm, (x, slope, saved), dy);
        if let Some(to) = d_residual {
            shard.store_gradient(&g, to);
        }
        for (c, [d_bias, d_weight]) in sums.iter_mut().enumerate() {
            let own = shard.gradient_sums(norm, c, (x, saved), &g);
            [shard.d_parameters[bias.start + c], shard.d_parameters[weight.start + c]] = own;
            *d_bias += own[0];
            *d_weight += own[1];
        }
        gradients.push(g);
    }
    for (shard, mut g) in shards.iter_mut().zip(gradients) {
        let stored = padded(norm.channels);
        for (c, [d_bias, d_weight]) in sums.iter().enumerate() {
            let [_, inv_std, scale, _] = shard.saved_of(saved, stored, c);
            for i in (c..g.len()).step_by(stored) {
                let centred = shard.centred(saved, stored, c, shard.values[x.start + i]);
                // What the statistics contribute.
                let mean = if running { 0.0 } else { (d_bias + centred * d_weight) / count };
                g[i] = scale * inv_std * (g[i] - mean);
            }
        }
        let rounded: Vec<f64> = g.iter().map(|g| shard.as_stored(*g)).collect();
        shard.gradients[dy.start..][..g.len()].copy_from_slice(&rounded);
        if let Some(to) = dx {
            shard.store_gradient(&g, to);
        }
    }
}

impl Interpreter<'_> {
    /// Mean, 1/std, scale and shift of a channel.
    fn saved_of(&self, saved: &Span, stored: usize, channel: usize) -> [f64; 4] {
        [0, 1, 2, 3].map(|row| self.saved[saved.start + row * stored + channel])
    }

    /// A value less the mean, by the standard deviation.
    fn centred(&self, saved: &Span, stored: usize, channel: usize, x: f64) -> f64 {
        let [mean, inv_std, ..] = self.saved_of(saved, stored, channel);
        (x - mean) * inv_std
    }

    /// A value after its batch norm with batch statistics.
    pub(super) fn normalised(&self, saved: &Span, stored: usize, channel: usize, x: f64) -> f64 {
        let [.., scale, shift] = self.saved_of(saved, stored, channel);
        self.centred(saved, stored, channel, x) * scale + shift
    }

    /// The gradient of what enters the activation.
    fn before_activation(
        &self,
        norm: &BatchNormShape,
        (x, slope, saved): (&Span, &Slope, &Span),
        dy: &Span,
    ) -> Vec<f64> {
        let stored = padded(norm.channels);
        let len = self.n * norm.image_pixels * stored;
        let mut g = self.gradients[dy.start..][..len].to_vec();
        for (i, g) in g.iter_mut().enumerate() {
            let c = i % stored;
            let normed = || self.normalised(saved, stored, c, self.values[x.start + i]);
            let passes = |passes: bool| if passes { 1.0 } else { 0.0 };
            let slope = match slope {
                Slope::None => 1.0,
                Slope::Output(y) => passes(self.values[y.start + i] > 0.0),
                _ if c >= norm.channels => 0.0,
                Slope::Recomputed => passes(normed() > 0.0),
                Slope::Smooth { function, residual } => {
                    let residual = residual.as_ref().map_or(0.0, |at| self.values[at.start + i]);
                    function.slope(normed() + residual)
                }
            };
            // Not 0 times NaN, which padding may hold.
            *g = if slope == 0.0 { 0.0 } else { *g * slope };
        }
        g
    }

    /// The gradients of a channel's bias and weight over the pixels of this shard.
    fn gradient_sums(
        &self,
        norm: &BatchNormShape,
        channel: usize,
        (x, saved): (&Span, &Span),
        g: &[f64],
    ) -> [f64; 2] {
        let stored = padded(norm.channels);
        let pixels = || (channel..g.len()).step_by(stored);
        let centred = |i: usize| self.centred(saved, stored, channel, self.values[x.start + i]);
        [pixels().map(|i| g[i]).sum(), pixels().map(|i| g[i] * centred(i)).sum()]
    }
}

/// A value after a batch norm with running statistics.
pub(super) fn running_norm(net: &Network, norm: NodeId, channel: usize, x: f64) -> f64 {
    let (mean, var) = net.running(norm);
    let of = |value: f32| f64::from(value);
    let [weight, bias] = net.weight_and_bias(norm).map(|at| of(net.values()[at.start + channel]));
    (x - of(mean[channel])) / (of(var[channel]) + net.graph().epsilon().value()).sqrt() * weight
        + bias
}
