//! A pass: the operations one by one.

use resnet_kernels::{Activation, layout::padded};
use resnet_network::{Network, graph::NodeId};

use super::{
    interpreter::Interpreter,
    norm::{over_shards, running_norm},
    parameterless,
};
use crate::{
    batch::{Input, MicroBatch, Targets},
    program::{Compute, Operation, Sink},
};

/// What an interpreter computes in one pass.
struct Part<'p> {
    images: &'p [f32],
    n: usize,
    targets: Option<Targets<'p>>,
    /// What its losses are divided by.
    divisor: f64,
}

impl<'p> Part<'p> {
    fn of_shard(shard: MicroBatch<'p>) -> Self {
        let Input::Nchw(images) = shard.input else {
            panic!("the interpreter takes normalised values [n][channels][height][width]");
        };
        let (targets, divisor) = (shard.targets, shard.divisor());
        Part { images, n: targets.len(), targets: Some(targets), divisor }
    }
}

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
        let weight = targets.and_then(|all| all.class_weights.map(|_| all.total_weight()));
        let divisor = weight.unwrap_or(batch_size as f64);
        run_parts(std::slice::from_mut(self), net, &[Part { images, n, targets, divisor }]);
    }

    /// Runs a training step on the shards of a batch, with batch norm statistics over all of them
    /// (`torch.nn.SyncBatchNorm`). Each shard has an interpreter of the same program, and may be empty. Losses and
    /// gradients are those of a shard, and add up to those of the batch. Running statistics are the same in all.
    ///
    /// # Panics
    /// As [`Interpreter::run`]. If an input is not [`Input::Nchw`], or interpreters and shards are not equally many.
    pub fn run_shards(interpreters: &mut [Self], net: &Network, shards: &[MicroBatch<'_>]) {
        assert_eq!(interpreters.len(), shards.len(), "each shard has an interpreter");
        let parts: Vec<Part<'_>> = shards.iter().copied().map(Part::of_shard).collect();
        run_parts(interpreters, net, &parts);
    }

    fn operate(&mut self, operation: &Operation, net: &Network, part: &Part<'_>) {
        let head = operation.layer.map(|layer| self.program.layers[layer].head);
        let shape = operation.layer.and_then(|layer| self.program.layers[layer].conv);
        let shape = shape.map(|(shape, ..)| shape);
        match (&operation.compute, head, shape) {
            (Compute::Images, ..) => self.load_images(part.images),
            (Compute::Pack | Compute::Update, ..) => {}
            (Compute::Loss, ..) => {
                self.cross_entropy(part.targets.expect("a step has targets"), part.divisor)
            }
            (compute, Some(head), Some(shape)) => self.conv(compute, net, head, &shape),
            (compute, Some(head), None) => self.other(compute, net, head),
            (compute, None, _) => unreachable!("belongs to a layer: {compute:?}"),
        }
    }

    fn other(&mut self, compute: &Compute, net: &Network, head: NodeId) {
        match compute {
            // Done for all shards.
            Compute::BatchNormStatistics { .. } | Compute::BatchNormBackward { .. } => {}
            Compute::BatchNorm { norm, x, saved, residual, activation, y, .. } => {
                let stored = padded(norm.channels);
                let mut out =
                    self.values[x.start..][..self.n * norm.image_pixels * stored].to_vec();
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
            Compute::Parameterless { op, x, residual, relu, y } => {
                let out = parameterless::forward(op, &self.values[x.clone()], self.n);
                self.finish(out, residual.as_ref(), relu.then_some(Activation::Relu), y);
            }
            Compute::ParameterlessBackward { op, x, y, relu, dy, to } => {
                let (x, y) = (&self.values[x.clone()], &self.values[y.clone()]);
                let mut dy = self.gradients[dy.clone()].to_vec();
                if *relu {
                    dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = if *y > 0.0 { *dy } else { 0.0 });
                }
                let dx = parameterless::backward(op, x, &dy, self.n);
                to.iter().for_each(|to| self.store_gradient(&dx, to));
            }
            Compute::Linear { linear, x } => {
                let stored = padded(linear.inputs);
                let [weight, bias] = net.weight_and_bias(head).map(|at| &net.values()[at]);
                for (i, x) in self.values[x.clone()].chunks_exact(stored).take(self.n).enumerate() {
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
                let mut out = vec![0.0; self.n * stored];
                self.d_parameters[weight.clone()].fill(0.0);
                self.d_parameters[bias.clone()].fill(0.0);
                for i in 0..self.n {
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

/// Goes through the program with all parts together, operation by operation.
fn run_parts(interpreters: &mut [Interpreter<'_>], net: &Network, parts: &[Part<'_>]) {
    let program = interpreters.first().expect("a batch has a shard").program;
    for (interpreter, part) in interpreters.iter_mut().zip(parts) {
        interpreter.n = part.n;
        interpreter.d_parameters = vec![f64::NAN; net.values().len()];
        interpreter.running.clear();
    }
    for operation in &program.operations {
        if let Some(layer) = operation.layer {
            over_shards(interpreters, net, program.layers[layer].head, &operation.compute);
        }
        for (interpreter, part) in interpreters.iter_mut().zip(parts) {
            interpreter.operate(operation, net, part);
        }
    }
}
