//! Convolutions, forward and backward.

use resnet_kernels::{Activation, conv::ConvShape, layout::padded};
use resnet_network::{Network, graph::NodeId};

use super::{interpreter::Interpreter, norm::running_norm};
use crate::program::{Compute, ConvOperand};

impl Interpreter<'_> {
    /// The input of a convolution, `[n][row][column][channel]`, without border and padded channels.
    fn conv_input(&self, x: &ConvOperand, s: &ConvShape) -> Vec<f64> {
        let n = self.n;
        let mut dense = Vec::with_capacity(n * s.height * s.width * s.in_channels);
        match x {
            ConvOperand::Images => {
                let at = self.program.image;
                for pixel in 0..n * s.height * s.width {
                    let (image, row) = (pixel / (s.height * s.width), pixel / s.width % s.height);
                    let place = (row + at.border) * at.columns() + pixel % s.width + at.border;
                    let start = image * at.image_len() + place * at.channels;
                    dense.extend(&self.images[start..][..at.channels]);
                }
            }
            ConvOperand::Value { at, fused_norm } => {
                let stored = padded(s.in_channels);
                for pixel in
                    self.values[at.clone()].chunks_exact(stored).take(n * s.height * s.width)
                {
                    dense.extend(pixel[..s.in_channels].iter().enumerate().map(|(c, x)| {
                        fused_norm
                            .as_ref()
                            .map_or(*x, |t| self.normalised(&t.saved, stored, c, *x).max(0.0))
                    }));
                }
            }
        }
        dense
    }

    pub(super) fn conv(&mut self, compute: &Compute, net: &Network, head: NodeId, s: &ConvShape) {
        let n = self.n;
        let place = net.ranges(head).next().expect("a convolution has a weight");
        let own = s.group_inputs();
        // The inputs of the group of an output.
        let inputs = |o: usize| {
            let first = o / s.group_outputs() * own;
            first..first + own
        };
        let weight = |o: usize, tap: usize, i: usize| {
            let at = (o * s.kernel * s.kernel + tap) * own + i % own;
            (at, f64::from(net.values()[place.start + at]))
        };
        let (ins, outs) = (padded(s.in_channels), padded(s.out_channels));
        match compute {
            Compute::Conv { x, norm, residual, relu, y } => {
                let x = self.conv_input(x, s);
                let side = |len: usize| (len + 2 * s.padding - s.kernel) / s.stride + 1;
                let mut out = vec![0.0; n * side(s.height) * side(s.width) * outs];
                for (from, to, tap) in taps(s, n) {
                    for o in 0..s.out_channels {
                        for i in inputs(o) {
                            out[to * outs + o] += weight(o, tap, i).1 * x[from * s.in_channels + i];
                        }
                    }
                }
                if let Some(norm) = norm {
                    for pixel in out.chunks_exact_mut(outs) {
                        for (c, x) in pixel[..s.out_channels].iter_mut().enumerate() {
                            *x = running_norm(net, *norm, c, *x);
                        }
                    }
                }
                self.finish(out, residual.as_ref(), relu.then_some(Activation::Relu), y);
            }
            Compute::ConvBackwardWeight { x, dy } => {
                let x = self.conv_input(x, s);
                let dw = &mut self.d_parameters[place.clone()];
                dw.fill(0.0);
                let dy = &self.gradients[dy.clone()];
                for (from, to, tap) in taps(s, n) {
                    for o in 0..s.out_channels {
                        for i in inputs(o) {
                            dw[weight(o, tap, i).0] +=
                                dy[to * outs + o] * x[from * s.in_channels + i];
                        }
                    }
                }
            }
            Compute::ConvBackwardData { dy, dx } => {
                let mut out = vec![0.0; n * s.height * s.width * ins];
                let dy = &self.gradients[dy.clone()];
                for (from, to, tap) in taps(s, n) {
                    for o in 0..s.out_channels {
                        for i in inputs(o) {
                            out[from * ins + i] += weight(o, tap, i).1 * dy[to * outs + o];
                        }
                    }
                }
                self.store_gradient(&out, dx);
            }
            other => unreachable!("no operation of a convolution: {other:?}"),
        }
    }
}

/// Every (input pixel, output pixel, tap) that a convolution multiplies: the tap of the window at
/// the output pixel reads the input pixel.
fn taps(s: &ConvShape, n: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let s = *s;
    let side = move |len: usize| (len + 2 * s.padding - s.kernel) / s.stride + 1;
    let (rows, columns) = (side(s.height), side(s.width));
    (0..n * rows * columns).flat_map(move |to| {
        let (image, row, column) = (to / (rows * columns), to / columns % rows, to % columns);
        (0..s.kernel * s.kernel).filter_map(move |tap| {
            let row = (row * s.stride + tap / s.kernel).checked_sub(s.padding)?;
            let column = (column * s.stride + tap % s.kernel).checked_sub(s.padding)?;
            let inside = row < s.height && column < s.width;
            inside.then(|| ((image * s.height + row) * s.width + column, to, tap))
        })
    })
}
