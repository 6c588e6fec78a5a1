//! The operations of a fused layer in training, forward and backward next to each other.

use std::ops::Range;

use resnet_kernels::{
    Cpu, Storage, Values,
    batch_norm::{ActivationSlope, BatchNormShape, NormParameters, ResidualGradient},
    conv::{Conv, ConvInput, Direction, Epilogue},
    elementwise::add_relu_backward,
};
use resnet_network::{Network, graph::NodeId};
use resnet_program::program::{Compute, ConvOperand, Pass, Slope, Span};

use super::{
    arena::{borrow, disjoint, gradients},
    buffers::Buffers,
    parameterless,
};
use crate::hooks::{Hooks, Statistics};

/// The layer of an operation, its prepared convolution, and the images of the micro-batch.
pub(super) struct LayerContext<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) n: usize,
    pub(super) layer: usize,
    pub(super) head: NodeId,
    pub(super) conv: Option<&'a Conv>,
    pub(super) images: &'a [f32],
    /// Weight of a batch in the running statistics.
    pub(super) norm_momentum: f64,
}

const PREPARED: &str = "every convolution is prepared";

impl LayerContext<'_> {
    /// The range of the layer's parameters in [`Network::values`].
    pub(super) fn parameters(&self, net: &Network) -> Range<usize> {
        let mut ranges = net.ranges(self.head);
        let first = ranges.next().expect("the layer has parameters");
        first.start..ranges.last().map_or(first.end, |last| last.end)
    }

    fn weight<'n>(&self, net: &'n Network) -> &'n [f32] {
        &net.values()[net.ranges(self.head).next().expect("a convolution has a weight")]
    }

    /// The input of a convolution.
    fn conv_input<'b>(
        &'b self,
        x: &ConvOperand,
        values: &'b Storage,
        saved: &'b [f32],
    ) -> ConvInput<'b> {
        match x {
            ConvOperand::Images => ConvInput { values: self.images.into(), norm: None },
            ConvOperand::Value { at, fused_norm } => {
                let norm = fused_norm
                    .as_ref()
                    .map(|t| t.norm.batch(self.n).scale_shift(&saved[t.saved.clone()]));
                ConvInput { values: values.values(at.clone()), norm }
            }
        }
    }

    fn pack(&self, pass: Pass, net: &Network, b: &mut Buffers) {
        let conv = self.conv.expect(PREPARED);
        match pass {
            Pass::Forward => conv.pack_forward(self.weight(net), None, &mut b.packed),
            _ => conv.pack_backward_data(self.weight(net), &mut b.packed),
        };
    }

    pub(super) fn forward(
        &self,
        compute: &Compute,
        net: &mut Network,
        b: &mut Buffers,
        hooks: &mut dyn Hooks,
    ) {
        let (cpu, n) = (self.cpu, self.n);
        match compute {
            Compute::BatchNormStatistics { norm, x, saved, running } => {
                self.statistics(norm, x, (saved, *running), net, b, hooks);
            }
            Compute::BatchNorm {
                norm,
                x,
                saved: Some(saved),
                running,
                residual,
                activation,
                y,
            } => {
                self.statistics(norm, x, (saved, *running), net, b, hooks);
                if n > 0 {
                    let (x, residual, y) = borrow(&mut b.values, Some(x), residual.as_ref(), y);
                    let [_, bias] = net.weight_and_bias(self.head);
                    let bias = &net.values()[bias];
                    let x = x.expect("an input was given");
                    let saved = &b.saved[saved.clone()];
                    let norm = norm.batch(n);
                    norm.normalize(cpu, x, bias, residual, *activation, y, saved, &mut b.scratch);
                }
            }
            _ if n == 0 => {}
            Compute::Pack => self.pack(Pass::Forward, net, b),
            Compute::Conv { x, y, .. } => {
                let conv = self.conv.expect(PREPARED);
                let weights = conv.weights(Direction::Forward, self.weight(net), &b.packed);
                let scratch = &mut b.scratch;
                match x {
                    ConvOperand::Images => {
                        let y = b.values.values_mut(y.clone());
                        conv.forward(
                            n,
                            Values::from(self.images),
                            weights,
                            y,
                            Epilogue::STORE,
                            scratch,
                        );
                    }
                    ConvOperand::Value { at, fused_norm } => {
                        let [x, y] = disjoint(&mut b.values, [at, y]);
                        let norm = fused_norm.as_ref();
                        let norm =
                            norm.map(|t| t.norm.batch(n).scale_shift(&b.saved[t.saved.clone()]));
                        let x = ConvInput { values: x.into_values(), norm };
                        conv.forward(n, x, weights, y, Epilogue::STORE, scratch);
                    }
                }
            }
            Compute::Parameterless { op, x, residual, relu, y } => {
                let (x, residual, y) = borrow(&mut b.values, Some(x), residual.as_ref(), y);
                parameterless::forward(
                    op,
                    cpu,
                    n,
                    x.expect("an input was given"),
                    residual,
                    *relu,
                    y,
                );
            }
            Compute::Linear { linear, x } => {
                let [weight, bias] = net.weight_and_bias(self.head).map(|at| &net.values()[at]);
                let x = b.values.values(x.clone());
                linear.forward(cpu, n, x, weight, bias, &mut b.logits);
            }
            other => unreachable!("no operation of a forward pass: {other:?}"),
        }
    }

    /// Computes the batch statistics, and updates the running statistics; or takes these as they are.
    fn statistics(
        &self,
        norm: &BatchNormShape,
        x: &Span,
        (saved, running): (&Span, bool),
        net: &mut Network,
        b: &mut Buffers,
        hooks: &mut dyn Hooks,
    ) {
        let norm = norm.batch(self.n);
        if running {
            let [weight, bias] = net.weight_and_bias(self.head).map(|at| &net.values()[at]);
            let (mean, var) = net.running(self.head);
            norm.running_statistics([weight, bias, mean, var], &mut b.saved[saved.clone()]);
            return;
        }
        let moments = &mut b.sums[..norm.sums_len()];
        if self.n > 0 {
            norm.moments(self.cpu, b.values.values(x.clone()), moments, &mut b.scratch);
        } else {
            moments.fill(0.0);
        }
        let mut statistics = Statistics { count: norm.batch_pixels as f64, moments };
        hooks.statistics(self.head, &mut statistics);
        let Statistics { count, moments } = statistics;
        b.counts[self.layer] = count;
        // No micro-batch has a pixel.
        if count == 0.0 {
            return;
        }
        let [weight, bias, running_mean, running_var] = net.norm_mut(self.head);
        let momentum = self.norm_momentum;
        let parameters = NormParameters { weight, bias, running_mean, running_var, momentum };
        norm.finish_statistics(count, moments, parameters, &mut b.saved[saved.clone()]);
    }

    /// Computes gradients. Returns whether gradients of parameters are among them.
    pub(super) fn backward(
        &self,
        compute: &Compute,
        pass: Pass,
        net: &Network,
        d_params: &mut [f32],
        b: &mut Buffers,
        hooks: &mut dyn Hooks,
    ) -> bool {
        let (cpu, n) = (self.cpu, self.n);
        match compute {
            Compute::BatchNormBackward { norm, x, slope, saved, running, dy, d_residual, dx } => {
                let norm = norm.batch(n);
                let [weight, bias] = net.weight_and_bias(self.head);
                let scale = &net.values()[weight.clone()];
                let [d_weight, d_bias] = d_params.get_disjoint_mut([weight, bias]).expect(DISJOINT);
                let x = b.values.values(x.clone());
                let saved = &b.saved[saved.clone()];
                let slope = match slope {
                    Slope::None => ActivationSlope::None,
                    Slope::Output(y) => ActivationSlope::Output(b.values.values(y.clone())),
                    Slope::Recomputed => ActivationSlope::Recomputed(norm.scale_shift(saved)),
                    Slope::Smooth { function, residual } => ActivationSlope::Smooth {
                        function: *function,
                        norm: norm.scale_shift(saved),
                        residual: residual.as_ref().map(|at| b.values.values(at.clone())),
                    },
                };
                let sums = &mut b.sums[..norm.sums_len()];
                let g = b.gradients.values(dy.clone());
                let scratch = &mut b.scratch;
                norm.gradient_sums(cpu, x, slope, saved, g, d_weight, d_bias, sums, scratch);
                if *running {
                    // The statistics do not depend on the input.
                    sums.fill(0.0);
                } else {
                    hooks.gradient_sums(self.head, sums);
                }
                if n == 0 {
                    // Not 0 times a statistic of an earlier batch, which may be NaN.
                    d_weight.fill(0.0);
                    d_bias.fill(0.0);
                    return true;
                }
                let (gradient, residual) = match d_residual {
                    Some(to) => {
                        let [dy, gradient] = disjoint(&mut b.gradients, [dy, &to.at]);
                        (dy, Some(ResidualGradient { gradient, accumulate: to.accumulate }))
                    }
                    None => (b.gradients.values_mut(dy.clone()), None),
                };
                let count = if *running { 1.0 } else { b.counts[self.layer] };
                norm.backward_data(
                    cpu, count, sums, x, slope, scale, saved, gradient, residual, scratch,
                );
                if let Some(dx) = dx {
                    let (dy, to) = gradients(&mut b.gradients, dy, dx);
                    let to = to.slice(0..norm.stored_len());
                    add_relu_backward(cpu, dy, None, to, dx.accumulate);
                }
                true
            }
            Compute::ConvBackwardWeight { .. } | Compute::LinearBackward { .. } if n == 0 => {
                d_params[self.parameters(net)].fill(0.0);
                true
            }
            _ if n == 0 => false,
            Compute::Pack => {
                self.pack(pass, net, b);
                false
            }
            Compute::ConvBackwardWeight { x, dy } => {
                let dw = net.ranges(self.head).next().expect("a convolution has a weight");
                let x = self.conv_input(x, &b.values, &b.saved);
                let dy = b.gradients.values(dy.clone());
                let conv = self.conv.expect(PREPARED);
                conv.backward_weight(n, x, dy, &mut d_params[dw], &mut b.scratch);
                true
            }
            Compute::ConvBackwardData { dy, dx } => {
                let conv = self.conv.expect(PREPARED);
                let weights = conv.weights(Direction::BackwardData, self.weight(net), &b.packed);
                let (dy, to) = gradients(&mut b.gradients, dy, dx);
                conv.backward_data(n, dy, weights, to, dx.accumulate, &mut b.scratch);
                false
            }
            Compute::ParameterlessBackward { op, x, y, relu, dy, to } => {
                let (x, y) = (b.values.values(x.clone()), b.values.values(y.clone()));
                for dx in to {
                    let (dy, to) = gradients(&mut b.gradients, dy, dx);
                    parameterless::backward(op, cpu, n, (x, y, *relu), dy, to, dx.accumulate);
                }
                false
            }
            Compute::LinearBackward { linear, x, dx } => {
                let [weight, bias] = net.weight_and_bias(self.head);
                let values = &net.values()[weight.clone()];
                let [dw, db] = d_params.get_disjoint_mut([weight, bias]).expect(DISJOINT);
                let x = b.values.values(x.clone());
                let dx = b.gradients.values_mut(dx.clone());
                linear.backward(cpu, n, x, values, &b.d_logits, dx, dw, db, &mut b.scratch);
                true
            }
            other => unreachable!("no operation of a backward pass: {other:?}"),
        }
    }
}

/// Why two parameters can be borrowed together.
const DISJOINT: &str = "the inventory's ranges are disjoint";
