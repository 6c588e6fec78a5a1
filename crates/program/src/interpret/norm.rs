//! Batch norms, forward and backward.

use resnet_kernels::{
    batch_norm::{BatchNormShape, MOMENTUM},
    layout::padded,
};
use resnet_network::{Network, graph::NodeId};

use super::interpreter::Interpreter;
use crate::program::{Sink, Slope, Span};

impl Interpreter<'_> {
    /// A value after its batch norm with batch statistics.
    pub(super) fn normalised(&self, saved: &Span, stored: usize, channel: usize, x: f64) -> f64 {
        let of = |row: usize| self.saved[saved.start + row * stored + channel];
        (x - of(0)) * of(1) * of(2) + of(3)
    }

    /// Saves the batch statistics with scale and shift, and updates the running statistics; or saves these.
    pub(super) fn statistics(
        &mut self,
        net: &Network,
        head: NodeId,
        norm: &BatchNormShape,
        x: &Span,
        (saved, running): (&Span, bool),
        n: usize,
    ) {
        let (stored, count) = (padded(norm.channels), (n * norm.image_pixels) as f64);
        let x = &self.values[x.start..][..n * norm.image_pixels * stored];
        let [weight, bias] = net.weight_and_bias(head).map(|at| &net.values()[at]);
        let (running_mean, running_var) = net.running(head);
        let mut moved = [running_mean, running_var]
            .map(|r| r.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        for c in 0..norm.channels {
            let of_channel = || x.iter().skip(c).step_by(stored);
            let mut mean = of_channel().sum::<f64>() / count;
            let square = of_channel().map(|x| (x - mean).powi(2)).sum::<f64>();
            let mut variance = square / count;
            if running {
                [mean, variance] = [moved[0][c], moved[1][c]];
            }
            let row =
                [mean, (variance + norm.epsilon).sqrt().recip(), weight[c].into(), bias[c].into()];
            for (i, value) in row.into_iter().enumerate() {
                self.saved[saved.start + i * stored + c] = value;
            }
            if count > 1.0 && !running {
                for (moved, new) in moved.iter_mut().zip([mean, square / (count - 1.0)]) {
                    moved[c] = (1.0 - MOMENTUM) * moved[c] + MOMENTUM * new;
                }
            }
        }
        self.running.push((head, moved));
    }

    pub(super) fn norm_backward(
        &mut self,
        net: &Network,
        head: NodeId,
        norm: &BatchNormShape,
        (x, slope, saved, running): (&Span, &Slope, &Span, bool),
        (dy, d_residual, dx): (&Span, &Option<Sink>, &Option<Sink>),
        n: usize,
    ) {
        let stored = padded(norm.channels);
        let len = n * norm.image_pixels * stored;
        let x = self.values[x.start..][..len].to_vec();
        let mut g = self.gradients[dy.start..][..len].to_vec();
        for (i, g) in g.iter_mut().enumerate() {
            let c = i % stored;
            let normed = || self.normalised(saved, stored, c, x[i]);
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
        if let Some(to) = d_residual {
            self.store_gradient(&g, to);
        }
        let [weight, bias] = net.weight_and_bias(head);
        let count = (n * norm.image_pixels) as f64;
        for c in 0..norm.channels {
            let of = |row: usize| self.saved[saved.start + row * stored + c];
            let (mean, inv_std, scale) = (of(0), of(1), of(2));
            let channel = || (c..len).step_by(stored);
            let d_bias: f64 = channel().map(|i| g[i]).sum();
            let d_weight: f64 = channel().map(|i| g[i] * (x[i] - mean) * inv_std).sum();
            self.d_parameters[bias.start + c] = d_bias;
            self.d_parameters[weight.start + c] = d_weight;
            for i in channel() {
                let centred = (x[i] - mean) * inv_std;
                // What the statistics contribute.
                let mean = if running { 0.0 } else { (d_bias + centred * d_weight) / count };
                g[i] = scale * inv_std * (g[i] - mean);
            }
        }
        let rounded: Vec<f64> = g.iter().map(|g| self.as_stored(*g)).collect();
        self.gradients[dy.start..][..len].copy_from_slice(&rounded);
        if let Some(to) = dx {
            self.store_gradient(&g, to);
        }
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
