//! Computes a program in f64 with simple loops: the reference for testing plans.
//!
//! The interpreter reads and writes the same ranges of the same buffers as a plan. So a value that
//! is overwritten too early, or an operation in the wrong place, gives a wrong result in both,
//! which the comparison with PyTorch shows. A wrong kernel gives a difference between plan and
//! interpreter. Buffers start as NaN, so a value that is read before it is written shows.

mod norm;
mod parameterless;
mod taps;

use resnet_kernels::{Activation, Bf16, Dtype, conv::ConvShape, layout::padded, loss::Target};
use resnet_network::{Network, graph::NodeId};

use self::taps::taps;
use crate::{
    batch::Targets,
    program::{Compute, ConvOperand, Program, Sink, Span},
};

/// A program with its buffers, in f64.
#[derive(Clone, Debug)]
pub struct Interpreter<'a> {
    program: &'a Program,
    /// Whether values and gradients are rounded to bfloat16 where they are stored.
    rounds: bool,
    images: Vec<f64>,
    values: Vec<f64>,
    gradients: Vec<f64>,
    /// Mean, 1/std, scale and shift of each stored channel.
    saved: Vec<f64>,
    d_logits: Vec<f64>,
    /// `[images][classes]` of the last pass.
    pub logits: Vec<f64>,
    /// Gradients of the parameters, in the order of [`Network::values`].
    pub d_parameters: Vec<f64>,
    /// Each batch norm's updated running mean and variance, in the order of the step.
    pub running: Vec<(NodeId, [Vec<f64>; 2])>,
    /// Cross entropy of the last step, summed over its images and divided by those of the whole
    /// batch.
    pub loss: f64,
}

impl<'a> Interpreter<'a> {
    /// An interpreter of a program.
    pub fn new(program: &'a Program) -> Self {
        let empty = |len: usize| vec![f64::NAN; len];
        Interpreter {
            images: empty(program.batch * program.image.image_len()),
            values: empty(program.values_len),
            gradients: empty(program.gradients_len),
            saved: empty(program.saved_len),
            d_logits: empty(program.batch * program.classes),
            logits: empty(program.batch * program.classes),
            d_parameters: Vec::new(),
            running: Vec::new(),
            loss: f64::NAN,
            rounds: false,
            program,
        }
    }

    /// The same with values and gradients in the program's dtype. All else is in f64 as before.
    #[must_use]
    pub fn in_its_dtype(self) -> Self {
        Interpreter { rounds: self.program.dtype == Dtype::Bf16, ..self }
    }

    fn as_stored(&self, value: f64) -> f64 {
        if self.rounds { Bf16::from_f32(value as f32).to_f32().into() } else { value }
    }

    /// Runs the program on images `[n][channels][height][width]`, a micro-batch of a batch of
    /// `batch_size` images; with class weights, a whole batch. Inference reads no targets.
    ///
    /// # Panics
    /// If there are fewer values than the images need, or the network has another graph.
    pub fn run(
        &mut self,
        net: &Network,
        images: &[f32],
        [n, batch_size]: [usize; 2],
        targets: Option<Targets<'_>>,
    ) {
        self.d_parameters = vec![f64::NAN; net.values().len()];
        self.running.clear();
        for operation in &self.program.operations {
            let head = operation.layer.map(|layer| self.program.layers[layer].head);
            let shape = operation.layer.and_then(|layer| self.program.layers[layer].conv);
            let shape = shape.map(|(shape, ..)| shape);
            match (&operation.compute, head, shape) {
                (Compute::Images, ..) => self.load_images(images, n),
                (Compute::Pack | Compute::Update, ..) => {}
                (Compute::Loss, ..) => {
                    self.cross_entropy(targets.expect("a step has targets"), batch_size)
                }
                (compute, Some(head), Some(shape)) => self.conv(compute, net, head, &shape, n),
                (compute, Some(head), None) => self.other(compute, net, head, n),
                (compute, None, _) => unreachable!("belongs to a layer: {compute:?}"),
            }
        }
    }

    fn load_images(&mut self, images: &[f32], n: usize) {
        let at = self.program.image;
        self.images.fill(0.0);
        for (i, &value) in images[..n * at.channels * at.height * at.width].iter().enumerate() {
            let (column, row) = (i % at.width, i / at.width % at.height);
            let channel = i / (at.width * at.height) % at.channels;
            let image = i / (at.width * at.height * at.channels);
            let pixel = (row + at.border) * at.columns() + column + at.border;
            self.images[image * at.image_len() + pixel * at.channels + channel] = value.into();
        }
    }

    /// `torch.nn.functional.cross_entropy` and its gradient.
    fn cross_entropy(&mut self, targets: Targets<'_>, batch_size: usize) {
        let classes = self.program.classes;
        let weight = |class: usize| targets.class_weights.map_or(1.0, |w| f64::from(w[class]));
        let of = targets.class_weights.map_or(batch_size as f64, |_| targets.total_weight());
        let smoothing = f64::from(targets.label_smoothing);
        self.loss = 0.0;
        for i in 0..targets.len() {
            let row = &self.logits[i * classes..][..classes];
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total = row.iter().map(|x| (x - top).exp()).sum::<f64>().ln() + top;
            let smoothed = |class: usize| {
                let own = match targets.target {
                    Target::Labels(labels) => f64::from(u8::from(labels[i] as usize == class)),
                    Target::Probabilities { values, .. } => f64::from(values[i * classes + class]),
                };
                weight(class) * ((1.0 - smoothing) * own + smoothing / classes as f64)
            };
            let sum: f64 = (0..classes).map(smoothed).sum();
            for class in 0..classes {
                let target = smoothed(class);
                self.loss -= target * (row[class] - total) / of;
                self.d_logits[i * classes + class] =
                    ((row[class] - total).exp() * sum - target) / of;
            }
        }
    }

    /// The input of a convolution, `[n][row][column][channel]`, without border and padded channels.
    fn conv_input(&self, x: &ConvOperand, s: &ConvShape, n: usize) -> Vec<f64> {
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

    fn conv(&mut self, compute: &Compute, net: &Network, head: NodeId, s: &ConvShape, n: usize) {
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
                let x = self.conv_input(x, s, n);
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
                let x = self.conv_input(x, s, n);
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

    /// Stores `activation?(out + residual?)`.
    fn finish(
        &mut self,
        mut out: Vec<f64>,
        residual: Option<&Span>,
        activation: Option<Activation>,
        y: &Span,
    ) {
        if let Some(residual) = residual {
            out.iter_mut().zip(&self.values[residual.clone()]).for_each(|(out, r)| *out += r);
        }
        match activation {
            None => {}
            Some(Activation::Relu) => out.iter_mut().for_each(|out| *out = out.max(0.0)),
            Some(Activation::Smooth(of)) => out.iter_mut().for_each(|out| *out = of.value(*out)),
        }
        assert!(out.len() <= y.len(), "an output fits its place");
        out.iter_mut().for_each(|out| *out = self.as_stored(*out));
        self.values[y.start..][..out.len()].copy_from_slice(&out);
    }

    /// Stores or adds a gradient.
    fn store_gradient(&mut self, gradient: &[f64], to: &Sink) {
        assert!(gradient.len() <= to.at.len(), "a gradient fits its place");
        for (i, gradient) in (to.at.start..).zip(gradient) {
            let before = if to.accumulate { self.gradients[i] } else { 0.0 };
            self.gradients[i] = self.as_stored(before + gradient);
        }
    }

    fn other(&mut self, compute: &Compute, net: &Network, head: NodeId, n: usize) {
        match compute {
            Compute::BatchNormStatistics { norm, x, saved, running } => {
                self.statistics(net, head, norm, x, (saved, *running), n);
            }
            Compute::BatchNorm { norm, x, saved, running, residual, activation, y } => {
                if let Some(saved) = saved {
                    self.statistics(net, head, norm, x, (saved, *running), n);
                }
                let stored = padded(norm.channels);
                let mut out = self.values[x.start..][..n * norm.image_pixels * stored].to_vec();
                for pixel in out.chunks_exact_mut(stored) {
                    for (c, x) in pixel[..norm.channels].iter_mut().enumerate() {
                        *x = match saved {
                            Some(saved) => self.normalised(saved, stored, c, *x),
                            None => running_norm(net, head, c, *x),
                        };
                    }
                }
                self.finish(out, residual.as_ref(), *activation, y);
            }
            Compute::BatchNormBackward { norm, x, slope, saved, running, dy, d_residual, dx } => {
                let read = (x, slope, saved, *running);
                self.norm_backward(net, head, norm, read, (dy, d_residual, dx), n);
            }
            Compute::Parameterless { op, x, residual, relu, y } => {
                let out = parameterless::forward(op, &self.values[x.clone()], n);
                self.finish(out, residual.as_ref(), relu.then_some(Activation::Relu), y);
            }
            Compute::ParameterlessBackward { op, x, y, relu, dy, to } => {
                let (x, y) = (&self.values[x.clone()], &self.values[y.clone()]);
                let mut dy = self.gradients[dy.clone()].to_vec();
                if *relu {
                    dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = if *y > 0.0 { *dy } else { 0.0 });
                }
                let dx = parameterless::backward(op, x, &dy, n);
                to.iter().for_each(|to| self.store_gradient(&dx, to));
            }
            Compute::Linear { linear, x } => {
                let stored = padded(linear.inputs);
                let [weight, bias] = net.weight_and_bias(head).map(|at| &net.values()[at]);
                for (i, x) in self.values[x.clone()].chunks_exact(stored).take(n).enumerate() {
                    for o in 0..linear.outputs {
                        let row = &weight[o * linear.inputs..][..linear.inputs];
                        let sum: f64 = row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
                        self.logits[i * linear.outputs + o] = sum + f64::from(bias[o]);
                    }
                }
            }
            Compute::LinearBackward { linear, x, dx } => {
                let stored = padded(linear.inputs);
                let [weight, bias] = net.weight_and_bias(head);
                let mut out = vec![0.0; n * stored];
                self.d_parameters[weight.clone()].fill(0.0);
                self.d_parameters[bias.clone()].fill(0.0);
                for i in 0..n {
                    for o in 0..linear.outputs {
                        let d = self.d_logits[i * linear.outputs + o];
                        self.d_parameters[bias.start + o] += d;
                        for c in 0..linear.inputs {
                            let at = weight.start + o * linear.inputs + c;
                            self.d_parameters[at] += d * self.values[x.start + i * stored + c];
                            out[i * stored + c] += d * f64::from(net.values()[at]);
                        }
                    }
                }
                self.store_gradient(&out, &Sink { at: dx.clone(), accumulate: false });
            }
            other => unreachable!("no operation of a layer: {other:?}"),
        }
    }
}

/// A value after a batch norm with running statistics.
fn running_norm(net: &Network, norm: NodeId, channel: usize, x: f64) -> f64 {
    let (mean, var) = net.running(norm);
    let of = |value: f32| f64::from(value);
    let [weight, bias] = net.weight_and_bias(norm).map(|at| of(net.values()[at.start + channel]));
    (x - of(mean[channel])) / (of(var[channel]) + net.graph().epsilon().value()).sqrt() * weight
        + bias
}
