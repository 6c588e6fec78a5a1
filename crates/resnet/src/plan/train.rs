//! Training: forward with batch statistics, loss, and backward as the forward list in reverse.

mod describe;

use std::ops::Range;

use resnet_kernels::{
    Buffer, Cpu, Element,
    batch_norm::{BatchNorm, Gate, Parameters, ResidualGradient},
    conv::{Activation, Conv, Epilogue, Mode, Source},
    elementwise::pass_gradient,
    linear::Linear,
    loss::cross_entropy,
};

use super::{
    APART, Input, InputImages, PlanError, Sizes, StepResult, borrow,
    gradients::{Layout, Read, Value},
    outline::{Part, Pass},
    plain::{Gradient, Plain},
    units::{Unit, units},
};
use crate::{
    graph::{Graph, NodeId, Op},
    network::Network,
};

/// [`TrainPlan`](super::TrainPlan), with activations and their gradients stored as `E`.
#[derive(Debug)]
pub(super) struct Plan<E> {
    cpu: Cpu,
    batch: usize,
    classes: usize,
    input: InputImages,
    steps: Vec<Step<E>>,
    buffers: Buffers<E>,
}

#[derive(Debug)]
struct Buffers<E> {
    /// Outputs of all steps: backward reads them again.
    values: Buffer<E>,
    /// Gradients of the outputs, by lifetime.
    gradients: Buffer<E>,
    /// Statistics of the batch norms.
    saved: Buffer,
    /// Packed weights of the convolution at work.
    packed: Buffer,
    scratch: Buffer,
    logits: Vec<f32>,
    d_logits: Vec<f32>,
}

#[derive(Debug)]
struct Step<E> {
    /// In the list of steps.
    index: usize,
    unit: Unit,
    kernel: Kernel<E>,
    /// None for the images.
    x: Option<Read>,
    /// A batch norm that a convolution applies to `x` as it reads, and what that has saved.
    norm: Option<(BatchNorm, Range<usize>)>,
    residual: Option<Read>,
    y: Value,
    /// False for a batch norm that its reader applies: `y` stands for its input.
    stored: bool,
}

#[derive(Debug)]
enum Kernel<E> {
    /// The convolution that reads the images.
    Stem(Box<Conv<E, f32>>),
    Conv(Box<Conv<E>>),
    Norm {
        channels: usize,
        pixels: usize,
        saved: Range<usize>,
    },
    Plain(Plain),
    Linear(Linear),
}

impl<E: Element> Plan<E> {
    pub(super) fn new(
        graph: &Graph,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let sizes = Sizes::new(graph, batch, height, width)?;
        let units = units(graph, false)?;
        let mut saved = 0;
        let mut kernels: Vec<Kernel<E>> = units
            .iter()
            .map(|unit| Kernel::new(graph, unit.head, &sizes, cpu, &mut saved))
            .collect();
        // Batch norms that the convolution after them applies as it reads.
        let mut through = Layout::read_through(graph, &units);
        let mut unstored = vec![false; units.len()];
        for (kernel, norm) in kernels.iter().zip(&mut through) {
            *norm = norm.filter(|_| matches!(kernel, Kernel::Conv(c) if c.reads_through_norm()));
            norm.iter().for_each(|&norm| unstored[norm] = true);
        }
        let layout = Layout::new(graph, &units, &unstored, &sizes);
        let scratch = kernels.iter().map(|k| k.scratch_len(cpu, batch)).max().unwrap_or(0);
        let packed = kernels.iter().map(Kernel::packed_len).max().unwrap_or(0);
        let norms: Vec<_> = through.iter().map(|norm| kernels[(*norm)?].norm()).collect();
        let mut steps = Vec::new();
        for (index, (unit, (x, residual, y))) in units.into_iter().zip(layout.steps).enumerate() {
            let kernel = kernels.remove(0);
            let (norm, stored) = (norms[index].clone(), !unstored[index]);
            steps.push(Step { index, unit, kernel, x, norm, residual, y, stored });
        }
        let logits = vec![0.0; batch * graph.classes()];
        Ok(Plan {
            cpu: cpu.clone(),
            batch,
            classes: graph.classes(),
            input: InputImages::new(graph, &sizes)?,
            steps,
            buffers: Buffers {
                values: Buffer::zeroed(layout.values_len)?,
                gradients: Buffer::zeroed(layout.gradients_len)?,
                saved: Buffer::zeroed(saved)?,
                packed: Buffer::zeroed(packed)?,
                scratch: Buffer::zeroed(scratch)?,
                d_logits: logits.clone(),
                logits,
            },
        })
    }

    pub(super) fn step(
        &mut self,
        net: &mut Network,
        gradients: &mut [f32],
        input: Input<'_>,
        labels: &[u32],
        label_smoothing: f32,
        mut done: impl FnMut(Part),
    ) -> StepResult {
        let n = labels.len();
        assert!((1..=self.batch).contains(&n), "{n} images in a plan for {}", self.batch);
        let (cpu, buffers) = (&self.cpu, &mut self.buffers);
        self.input.fill(cpu, input, n);
        done(Part::Input);
        for step in &self.steps {
            step.forward(cpu, n, &self.input.values, net, buffers, &mut done);
        }
        let (logits, d_logits) = (&buffers.logits, &mut buffers.d_logits);
        let used = n * self.classes;
        let (logits, d_logits) = (&logits[..used], Some(&mut d_logits[..used]));
        let loss = cross_entropy(logits, labels, self.classes, label_smoothing, d_logits);
        done(Part::Loss);
        for step in self.steps.iter().rev() {
            step.backward(cpu, n, &self.input.values, net, gradients, buffers, &mut done);
        }
        StepResult { loss: loss.mean, correct: loss.correct }
    }

    pub(super) fn logits(&self) -> &[f32] {
        &self.buffers.logits
    }
}

impl<E: Element> Kernel<E> {
    fn new(graph: &Graph, head: NodeId, sizes: &Sizes, cpu: &Cpu, saved: &mut usize) -> Self {
        let node = &graph.nodes()[head];
        match node.op {
            Op::Conv2d { .. } => {
                let ((shape, source), batch) = (sizes.conv(head, node), sizes.batch);
                match source {
                    Source::Image => {
                        let mode = Mode::TrainFirst;
                        Kernel::Stem(Box::new(Conv::new(shape, source, mode, batch, cpu)))
                    }
                    Source::Activation => {
                        Kernel::Conv(Box::new(Conv::new(shape, source, Mode::Train, batch, cpu)))
                    }
                }
            }
            Op::BatchNorm2d => {
                let (channels, pixels) = (node.channels, sizes.pixels(head));
                let start = *saved;
                *saved += BatchNorm { pixels, channels }.saved_len();
                Kernel::Norm { channels, pixels, saved: start..*saved }
            }
            Op::Linear => {
                let inputs = sizes.shapes[node.inputs[0]].channels;
                Kernel::Linear(Linear { inputs, outputs: node.channels })
            }
            _ => Kernel::Plain(Plain::new(graph, head, sizes).expect("has no parameters")),
        }
    }

    /// For batch norms: the channels, and where the statistics are.
    fn norm(&self) -> Option<(BatchNorm, Range<usize>)> {
        match self {
            Kernel::Norm { channels, pixels, saved } => {
                Some((BatchNorm { pixels: *pixels, channels: *channels }, saved.clone()))
            }
            _ => None,
        }
    }

    fn packed_len(&self) -> usize {
        match self {
            Kernel::Stem(conv) => conv.packed_len(),
            Kernel::Conv(conv) => conv.packed_len(),
            _ => 0,
        }
    }

    fn scratch_len(&self, cpu: &Cpu, batch: usize) -> usize {
        match self {
            Kernel::Stem(conv) => conv.scratch_len(),
            Kernel::Conv(conv) => conv.scratch_len(),
            Kernel::Norm { channels, pixels, .. } => {
                BatchNorm { pixels: batch * pixels, channels: *channels }.scratch_len()
            }
            Kernel::Linear(linear) => linear.scratch_len(cpu),
            Kernel::Plain(_) => 0,
        }
    }
}

impl<E: Element> Step<E> {
    fn forward(
        &self,
        cpu: &Cpu,
        n: usize,
        images: &[f32],
        net: &mut Network,
        b: &mut Buffers<E>,
        done: &mut impl FnMut(Part),
    ) {
        if !self.stored {
            self.statistics(cpu, n, net, b);
            return done(Part::Unit(self.index, Pass::Forward));
        }
        let place = |read: &Option<Read>| read.as_ref().map(|r| r.value.out.clone());
        let places = (place(&self.x), place(&self.residual), self.y.out.clone());
        let (x, residual, out) = borrow(&mut b.values, places);
        let (head, relu) = (self.unit.head, self.unit.relu);
        match &self.kernel {
            Kernel::Stem(conv) => {
                let weights = conv.pack_forward(weight(net, head), None, &mut b.packed);
                done(Part::Packing(self.index, Pass::Forward));
                conv.forward(n, images, weights, out, Epilogue::STORE, &mut b.scratch);
            }
            Kernel::Conv(conv) => {
                let weights = conv.pack_forward(weight(net, head), None, &mut b.packed);
                done(Part::Packing(self.index, Pass::Forward));
                let x = self.activation(x, &b.saved);
                conv.forward(n, x, weights, out, Epilogue::STORE, &mut b.scratch);
            }
            Kernel::Norm { channels, pixels, saved } => {
                let norm = BatchNorm { pixels: n * pixels, channels: *channels };
                let [weight, bias, running_mean, running_var] = net.norm_mut(head);
                let parameters = Parameters { weight, bias, running_mean, running_var };
                let saved = &mut b.saved[saved.clone()];
                norm.forward(cpu, x, parameters, residual, relu, out, saved, &mut b.scratch);
            }
            Kernel::Plain(plain) => plain.forward(cpu, n, x, residual, relu, out),
            Kernel::Linear(linear) => {
                let [weight, bias] = net.weight_and_bias(head).map(|range| &net.values()[range]);
                linear.forward(cpu, n, x, weight, bias, &mut b.logits);
            }
        }
        done(Part::Unit(self.index, Pass::Forward));
    }

    /// Forward of a batch norm that its reader applies.
    fn statistics(&self, cpu: &Cpu, n: usize, net: &mut Network, b: &mut Buffers<E>) {
        let (Some((norm, saved)), Some(x)) = (self.kernel.norm(), &self.x) else {
            unreachable!("only batch norms that read a value are not stored");
        };
        let norm = BatchNorm { pixels: n * norm.pixels, ..norm };
        let [weight, bias, running_mean, running_var] = net.norm_mut(self.unit.head);
        let parameters = Parameters { weight, bias, running_mean, running_var };
        let (x, saved) = (&b.values[x.value.out.clone()], &mut b.saved[saved]);
        norm.statistics(cpu, x, parameters, saved, &mut b.scratch);
    }

    /// What a convolution reads.
    fn activation<'a>(&self, values: &'a [E], saved: &'a [f32]) -> Activation<'a, E> {
        let norm = self.norm.as_ref();
        Activation { values, norm: norm.map(|(n, at)| n.scale_shift(&saved[at.clone()])) }
    }

    fn backward(
        &self,
        cpu: &Cpu,
        n: usize,
        images: &[f32],
        net: &Network,
        d_params: &mut [f32],
        b: &mut Buffers<E>,
        done: &mut impl FnMut(Part),
    ) {
        let head = self.unit.head;
        let x = self.x.as_ref().map_or(&[][..], |x| &b.values[x.value.out.clone()]);
        let out = &b.values[self.y.out.clone()];
        match &self.kernel {
            Kernel::Stem(conv) => {
                let dw = &mut d_params[weight_range(net, head)];
                let dy = &b.gradients[self.y.gradient.clone()];
                conv.backward_weight(n, images, dy, dw, &mut b.scratch);
                done(Part::Unit(self.index, Pass::BackwardWeight));
            }
            Kernel::Conv(conv) => {
                let dw = &mut d_params[weight_range(net, head)];
                let read = self.x.as_ref().expect("only the stem reads the images");
                let weights = conv.pack_backward_data(weight(net, head), &mut b.packed);
                done(Part::Packing(self.index, Pass::BackwardData));
                let (dy, dx) = self.gradients(&mut b.gradients, read);
                let x = self.activation(x, &b.saved);
                conv.backward_weight(n, x, dy, dw, &mut b.scratch);
                done(Part::Unit(self.index, Pass::BackwardWeight));
                let Gradient { values, accumulate } = dx;
                conv.backward_data(n, dy, weights, values, accumulate, &mut b.scratch);
                done(Part::Unit(self.index, Pass::BackwardData));
            }
            Kernel::Norm { channels, pixels, saved } => {
                let norm = BatchNorm { pixels: n * pixels, channels: *channels };
                let [weight, bias] = net.weight_and_bias(head);
                let scale = &net.values()[weight.clone()];
                let [d_weight, d_bias] = d_params.get_disjoint_mut([weight, bias]).expect(APART);
                let (gradient, residual) = match &self.residual {
                    Some(r) => {
                        let both = [self.y.gradient.clone(), r.value.gradient.clone()];
                        let [dy, dr] = b.gradients.get_disjoint_mut(both).expect(APART);
                        (dy, Some(ResidualGradient { gradient: dr, accumulate: r.accumulate }))
                    }
                    None => (&mut b.gradients[self.y.gradient.clone()], None),
                };
                let (saved, scratch) = (&b.saved[saved.clone()], &mut b.scratch);
                let gate = match (self.unit.relu, self.stored) {
                    (false, _) => Gate::Open,
                    (true, true) => Gate::Output(out),
                    (true, false) => Gate::Input(norm.scale_shift(saved)),
                };
                norm.backward(
                    cpu, x, gate, scale, saved, gradient, residual, d_weight, d_bias, scratch,
                );
                if let Some(x) = &self.x
                    && x.value.gradient != self.y.gradient
                {
                    let (dy, dx) = self.gradients(&mut b.gradients, x);
                    let len = norm.stored_len();
                    pass_gradient(cpu, dy, None, &mut dx.values[..len], dx.accumulate);
                }
                done(Part::Unit(self.index, Pass::Backward));
            }
            Kernel::Plain(plain) => {
                for read in self.x.iter().chain(&self.residual) {
                    let (dy, dx) = self.gradients(&mut b.gradients, read);
                    plain.backward(cpu, n, (x, out, self.unit.relu), dy, dx);
                }
                done(Part::Unit(self.index, Pass::Backward));
            }
            Kernel::Linear(linear) => {
                let [weight, bias] = net.weight_and_bias(head);
                let values = &net.values()[weight.clone()];
                let [dw, db] = d_params.get_disjoint_mut([weight, bias]).expect(APART);
                let read = self.x.as_ref().expect("a linear layer reads no images");
                let dx = &mut b.gradients[read.value.gradient.clone()];
                linear.backward(cpu, n, x, values, &b.d_logits, dx, dw, db, &mut b.scratch);
                done(Part::Unit(self.index, Pass::Backward));
            }
        }
    }

    /// The gradients of the output and of a value that the step reads.
    fn gradients<'a>(&self, arena: &'a mut [E], read: &Read) -> (&'a [E], Gradient<'a, E>) {
        let both = [self.y.gradient.clone(), read.value.gradient.clone()];
        let [dy, dx] = arena.get_disjoint_mut(both).expect(APART);
        (dy, Gradient { values: dx, accumulate: read.accumulate })
    }
}

fn weight(net: &Network, node: NodeId) -> &[f32] {
    &net.values()[weight_range(net, node)]
}

fn weight_range(net: &Network, node: NodeId) -> Range<usize> {
    net.ranges(node).next().expect("a convolution has a weight")
}
