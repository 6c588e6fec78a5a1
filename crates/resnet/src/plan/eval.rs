//! Inference: batch norm folded into the convolutions, buffers reused.

use std::ops::Range;

use resnet_kernels::{
    Buffer, Cpu, Element,
    batch_norm::{BatchNorm, EPSILON},
    conv::{Algorithm, Conv, Epilogue, Mode, Weights},
    layout::padded,
    linear::Linear,
};

use super::{
    Input, InputImages, PlanError, Sizes, borrow,
    memory::{Lifetime, lay_out},
    outline::{Memory, Outline, Part, Pass, Prepared, Sketch, algorithms},
    plain::Plain,
    units::{Unit, producer, units_around},
};
use crate::{
    graph::{Graph, NodeId, Op, Shape},
    network::Network,
};

/// [`EvalPlan`](super::EvalPlan), with activations stored as `E`.
#[derive(Debug)]
pub(super) struct Plan<E> {
    cpu: Cpu,
    batch: usize,
    input: InputImages,
    steps: Vec<Step<E>>,
    values: Buffer<E>,
    scratch: Buffer,
    logits: Vec<f32>,
    probe: Option<Probe>,
}

/// A node whose value outlives the pass.
#[derive(Debug)]
struct Probe {
    shape: Shape,
    place: Range<usize>,
}

#[derive(Debug)]
struct Step<E> {
    unit: Unit,
    kernel: Kernel<E>,
    /// Where the inputs are: none for the images.
    x: Option<Range<usize>>,
    residual: Option<Range<usize>>,
    out: Range<usize>,
}

#[derive(Debug)]
enum Kernel<E> {
    /// The convolution that reads the images.
    Stem(Box<Folded<E, f32>>),
    Conv(Box<Folded<E, E>>),
    /// A batch norm that follows no convolution: mean, scale and shift.
    Norm {
        channels: usize,
        pixels: usize,
        factors: [Vec<f32>; 3],
    },
    Plain(Plain),
    Linear {
        linear: Linear,
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
}

/// A convolution with its weights and bias, batch norm folded into both.
#[derive(Debug)]
struct Folded<E, X> {
    conv: Conv<E, X>,
    packed: Buffer,
    bias: Vec<f32>,
}

impl<E: Element> Plan<E> {
    pub(super) fn new(
        graph: &Graph,
        batch: usize,
        height: usize,
        width: usize,
        probe: Option<NodeId>,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let sizes = Sizes::new(graph, batch, height, width)?;
        let units = units_around(graph, true, probe)?;
        let places = places(graph, &units, &sizes, probe);
        let mut scratch = 0;
        let mut steps = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            let kernel = Kernel::new(graph, unit.head, &sizes, cpu)?;
            scratch = scratch.max(kernel.scratch_len());
            let place = |id: NodeId| producer(&units, id).map(|i| places.0[i].clone());
            steps.push(Step {
                unit: unit.clone(),
                kernel,
                x: place(graph.nodes()[unit.head].inputs[0]),
                residual: unit.residual.and_then(place),
                out: places.0[index].clone(),
            });
        }
        let probe = probe.map(|id| {
            let inside = (1..graph.nodes().len() - 1).contains(&id);
            assert!(inside, "a probe is on a node between the images and the logits, not {id}");
            let place = producer(&units, id).map(|i| places.0[i].clone());
            Probe { shape: sizes.shapes[id], place: place.expect("only images have no unit") }
        });
        Ok(Plan {
            cpu: cpu.clone(),
            batch,
            probe,
            input: InputImages::new(graph, &sizes)?,
            steps,
            values: Buffer::zeroed(places.1)?,
            scratch: Buffer::zeroed(scratch)?,
            logits: vec![0.0; batch * graph.classes()],
        })
    }

    pub(super) fn load(&mut self, net: &Network) {
        for step in &mut self.steps {
            match &mut step.kernel {
                Kernel::Stem(conv) => conv.load(net, &step.unit),
                Kernel::Conv(conv) => conv.load(net, &step.unit),
                Kernel::Norm { factors, .. } => {
                    let dense = norm_factors(net, step.unit.head);
                    for (stored, dense) in factors.iter_mut().zip(dense) {
                        stored[..dense.len()].copy_from_slice(&dense);
                    }
                }
                Kernel::Linear { weight, bias, .. } => {
                    let from = net.weight_and_bias(step.unit.head);
                    let [from_weight, from_bias] = from.map(|range| &net.values()[range]);
                    weight.copy_from_slice(from_weight);
                    bias.copy_from_slice(from_bias);
                }
                _ => {}
            }
        }
    }

    pub(super) fn forward(
        &mut self,
        input: Input<'_>,
        images: usize,
        mut done: impl FnMut(Part),
    ) -> &[f32] {
        assert!((1..=self.batch).contains(&images), "{images} images in a plan for {}", self.batch);
        self.input.fill(&self.cpu, input, images);
        done(Part::Input);
        for (index, step) in self.steps.iter().enumerate() {
            step.run(
                &self.cpu,
                images,
                &self.input.values,
                &mut self.values,
                &mut self.logits,
                &mut self.scratch,
            );
            done(Part::Unit(index, Pass::Forward));
        }
        &self.logits[..images * (self.logits.len() / self.batch)]
    }

    pub(super) fn probed(&self, image: usize) -> (Shape, Vec<f32>) {
        let Probe { shape, place } = self.probe.as_ref().expect("the plan has a probe");
        assert!(image < self.batch, "image {image} of a plan for {}", self.batch);
        let stored = padded(shape.channels);
        let len = shape.height * shape.width * stored;
        let values = &self.values[place.clone()][image * len..][..len];
        let pixels = values.chunks_exact(stored);
        let dense = pixels.flat_map(|pixel| pixel[..shape.channels].iter().map(|x| x.to_f32()));
        (*shape, dense.collect())
    }

    pub(super) fn outline(&self, graph: &Graph) -> Outline {
        let prepared = |step: &Step<E>| Prepared {
            unit: step.unit.clone(),
            algorithms: step.kernel.algorithms(),
            packed: step.kernel.packed_len(),
            scratch: step.kernel.scratch_len(),
            gradient: 0,
            stored: true,
            accumulate: [false; 2],
        };
        let units: Vec<Prepared> = self.steps.iter().map(prepared).collect();
        let (words, values) = (size_of::<f32>(), size_of::<E>());
        let memory = Memory {
            images: words * self.input.values.len(),
            activations: values * self.values.len(),
            gradients: 0,
            statistics: 0,
            packed: words * units.iter().map(|unit| unit.packed).sum::<usize>(),
            scratch: words * self.scratch.len(),
            logits: words * self.logits.len(),
        };
        let sizes = self.input.sizes(graph, self.batch);
        Sketch { graph, sizes, element: values, training: false, units }.outline(memory)
    }
}

impl<E: Element, X: Element> Folded<E, X> {
    fn new(graph: &Graph, head: NodeId, sizes: &Sizes, cpu: &Cpu) -> Result<Self, PlanError> {
        let (shape, source) = sizes.conv(head, &graph.nodes()[head]);
        let conv = Conv::new(shape, source, Mode::Inference, sizes.batch, cpu);
        let packed = Buffer::zeroed(conv.packed_len())?;
        Ok(Folded { conv, packed, bias: vec![0.0; padded(shape.out_channels)] })
    }

    fn load(&mut self, net: &Network, unit: &Unit) {
        let factors = unit.norm.map(|norm| {
            let [mean, scale, shift] = norm_factors(net, norm);
            for (i, bias) in self.bias.iter_mut().enumerate().take(mean.len()) {
                *bias = shift[i] - mean[i] * scale[i];
            }
            scale
        });
        let weight = net.ranges(unit.head).next().expect("a convolution has a weight");
        let weights = &net.values()[weight];
        self.conv.pack_forward(weights, factors.as_deref(), &mut self.packed);
    }

    fn forward(
        &self,
        n: usize,
        x: &[X],
        residual: Option<&[E]>,
        relu: bool,
        out: &mut [E],
        scratch: &mut [f32],
    ) {
        let epilogue = Epilogue { bias: Some(&self.bias), residual, accumulate: false, relu };
        self.conv.forward(n, x, Weights::Packed(&self.packed), out, epilogue, scratch);
    }
}

impl<E: Element> Kernel<E> {
    fn new(graph: &Graph, head: NodeId, sizes: &Sizes, cpu: &Cpu) -> Result<Self, PlanError> {
        let node = &graph.nodes()[head];
        let input = sizes.shapes[node.inputs[0]];
        Ok(match node.op {
            Op::Conv2d { .. } if node.inputs[0] == Graph::INPUT => {
                Kernel::Stem(Box::new(Folded::new(graph, head, sizes, cpu)?))
            }
            Op::Conv2d { .. } => Kernel::Conv(Box::new(Folded::new(graph, head, sizes, cpu)?)),
            Op::BatchNorm2d => Kernel::Norm {
                channels: node.channels,
                pixels: sizes.pixels(head),
                factors: std::array::from_fn(|_| vec![0.0; padded(node.channels)]),
            },
            Op::Linear => Kernel::Linear {
                linear: Linear { inputs: input.channels, outputs: node.channels },
                weight: vec![0.0; input.channels * node.channels],
                bias: vec![0.0; node.channels],
            },
            _ => Kernel::Plain(Plain::new(graph, head, sizes).expect("has no parameters")),
        })
    }

    fn algorithms(&self) -> Vec<(Pass, Algorithm)> {
        match self {
            Kernel::Stem(folded) => algorithms(&folded.conv),
            Kernel::Conv(folded) => algorithms(&folded.conv),
            _ => Vec::new(),
        }
    }

    fn packed_len(&self) -> usize {
        match self {
            Kernel::Stem(folded) => folded.packed.len(),
            Kernel::Conv(folded) => folded.packed.len(),
            _ => 0,
        }
    }

    fn scratch_len(&self) -> usize {
        match self {
            Kernel::Stem(folded) => folded.conv.scratch_len(),
            Kernel::Conv(folded) => folded.conv.scratch_len(),
            _ => 0,
        }
    }
}

impl<E: Element> Step<E> {
    fn run(
        &self,
        cpu: &Cpu,
        n: usize,
        images: &[f32],
        values: &mut [E],
        logits: &mut [f32],
        scratch: &mut [f32],
    ) {
        let places = (self.x.clone(), self.residual.clone(), self.out.clone());
        let (x, residual, out) = borrow(values, places);
        let relu = self.unit.relu;
        match &self.kernel {
            Kernel::Stem(conv) => conv.forward(n, images, residual, relu, out, scratch),
            Kernel::Conv(conv) => conv.forward(n, x, residual, relu, out, scratch),
            Kernel::Norm { channels, pixels, factors: [mean, scale, shift] } => {
                let norm = BatchNorm { pixels: n * pixels, channels: *channels };
                norm.apply(cpu, x, mean, scale, shift, residual, relu, out);
            }
            Kernel::Plain(plain) => plain.forward(cpu, n, x, residual, relu, out),
            Kernel::Linear { linear, weight, bias } => {
                linear.forward(cpu, n, x, weight, bias, logits);
            }
        }
    }
}

/// Where each unit's output lives, from its unit to its last reader (a probe's for good), and the
/// arena's length.
pub(super) fn places(
    graph: &Graph,
    units: &[Unit],
    sizes: &Sizes,
    probe: Option<NodeId>,
) -> (Vec<Range<usize>>, usize) {
    let reads = |unit: &Unit, id: NodeId| {
        graph.nodes()[unit.head].inputs[0] == id || unit.residual == Some(id)
    };
    let lifetime = |(index, unit): (usize, &Unit)| {
        let reader = units.iter().rposition(|reader| reads(reader, unit.output)).unwrap_or(index);
        let last = if Some(unit.output) == probe { units.len() } else { reader };
        // The logits have a buffer of their own.
        let linear = graph.nodes()[unit.head].op == Op::Linear;
        let len = if linear { 0 } else { sizes.batch * sizes.image_len(unit.output) };
        Lifetime { first: index, last, len }
    };
    lay_out(&units.iter().enumerate().map(lifetime).collect::<Vec<_>>())
}

/// Mean, scale and shift of a batch norm with running statistics.
fn norm_factors(net: &Network, norm: NodeId) -> [Vec<f32>; 3] {
    let (mean, var) = net.running(norm);
    let [weight, bias] = net.weight_and_bias(norm).map(|range| &net.values()[range]);
    let scale = weight.iter().zip(var);
    let scale = scale.map(|(w, v)| (f64::from(*w) / (f64::from(*v) + EPSILON).sqrt()) as f32);
    [mean.to_vec(), scale.collect(), bias.to_vec()]
}
