//! A pass: the operations one by one.

use resnet_kernels::{Activation, layout::padded};
use resnet_network::{Network, graph::NodeId};

use super::{interpreter::Interpreter, norm::running_norm, parameterless};
use crate::{
    batch::Targets,
    program::{Compute, Sink},
};

impl Interpreter<'_> {
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
