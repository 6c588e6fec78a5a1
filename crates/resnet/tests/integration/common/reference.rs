//! The reference for losses, and by finite differences for gradients: networks in training mode, in
//! f64, by plain loops. It shares only the graph, the order of the parameters and the f64
//! activations with the code under test.

use std::{ops::Range, rc::Rc};

use resnet::{
    Network,
    graph::{Graph, Op, Shape},
};
use resnet_kernels::Smooth;

/// Activations `[n][height][width][channels]`.
type Value = Rc<Vec<f64>>;

/// A network's graph and a batch.
pub(crate) struct Reference {
    graph: Graph,
    shapes: Vec<Shape>,
    /// Of each node's parameters in the arena.
    ranges: Vec<Vec<Range<usize>>>,
    images: Value,
    labels: Vec<u32>,
    smoothing: f64,
}

impl Reference {
    /// Images are `[n][channels][height][width]`; as many as labels.
    pub(crate) fn new(
        net: &Network,
        images: &[f32],
        [height, width]: [usize; 2],
        labels: &[u32],
        smoothing: f64,
    ) -> Self {
        let graph = net.graph().clone();
        let (channels, pixels) = (graph.in_channels(), height * width);
        let nhwc = (0..images.len()).map(|i| {
            let (n, pixel, channel) = (i / channels / pixels, i / channels % pixels, i % channels);
            f64::from(images[(n * channels + channel) * pixels + pixel])
        });
        Reference {
            images: Rc::new(nhwc.collect()),
            shapes: graph.shapes(height, width).unwrap(),
            ranges: (0..graph.nodes().len()).map(|id| net.ranges(id).collect()).collect(),
            labels: labels.to_vec(),
            smoothing,
            graph,
        }
    }

    /// The output of every node with these parameters. The first are known: those before a node
    /// whose parameters have changed.
    pub(crate) fn outputs(&self, parameters: &[f64], known: &[Value]) -> Vec<Value> {
        let mut outputs = known.to_vec();
        for id in known.len()..self.graph.nodes().len() {
            let value = match self.graph.nodes()[id].op {
                Op::Input => self.images.clone(),
                _ => Rc::new(self.output(id, parameters, &outputs)),
            };
            outputs.push(value);
        }
        outputs
    }

    fn output(&self, id: usize, parameters: &[f64], outputs: &[Value]) -> Vec<f64> {
        let node = &self.graph.nodes()[id];
        let of = |i: usize| outputs[node.inputs[i]].as_slice();
        let parameter = |i: usize| &parameters[self.ranges[id][i].clone()];
        let (x, from, to) = (of(0), self.shapes[node.inputs[0]], self.shapes[id]);
        match node.op {
            Op::Input => unreachable!("known"),
            Op::Conv2d { kernel, stride, padding, groups } => {
                let window = Window { kernel, stride, padding, from, to };
                let weights = parameter(0);
                let (ins, outs) = (from.channels / groups, to.channels / groups);
                let taps = kernel * kernel * ins;
                let mut y = vec![0.0; self.labels.len() * to.len()];
                window.visit(self.labels.len(), |tap, input, output| {
                    let x = &x[input..][..from.channels];
                    for (o, y) in y[output..][..to.channels].iter_mut().enumerate() {
                        let w = &weights[o * taps + tap * ins..][..ins];
                        let x = &x[o / outs * ins..][..ins];
                        *y += x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
                    }
                });
                y
            }
            Op::MaxPool2d { kernel, stride, padding } => {
                let window = Window { kernel, stride, padding, from, to };
                let mut y = vec![f64::NEG_INFINITY; self.labels.len() * to.len()];
                window.visit(self.labels.len(), |_, input, output| {
                    for c in 0..to.channels {
                        y[output + c] = y[output + c].max(x[input + c]);
                    }
                });
                y
            }
            Op::BatchNorm2d => batch_norm(x, parameter(0), parameter(1)),
            Op::Relu => x.iter().map(|x| x.max(0.0)).collect(),
            Op::Gelu { tanh: false } => x.iter().map(|&x| Smooth::Gelu.value(x)).collect(),
            Op::Gelu { tanh: true } => x.iter().map(|&x| Smooth::GeluTanh.value(x)).collect(),
            Op::Silu => x.iter().map(|&x| Smooth::Silu.value(x)).collect(),
            Op::Add => x.iter().zip(of(1)).map(|(a, b)| a + b).collect(),
            Op::AvgPool2d { kernel } => {
                let window = Window { kernel, stride: kernel, padding: 0, from, to };
                let mut y = vec![0.0; self.labels.len() * to.len()];
                let mut counts = y.clone();
                window.visit(self.labels.len(), |_, input, output| {
                    for c in 0..to.channels {
                        y[output + c] += x[input + c];
                        counts[output + c] += 1.0;
                    }
                });
                y.iter().zip(&counts).map(|(sum, count)| sum / count).collect()
            }
            Op::GlobalAvgPool => {
                let pixels = from.height * from.width;
                let mut y = vec![0.0; self.labels.len() * to.len()];
                for (i, x) in x.iter().enumerate() {
                    y[i / from.len() * to.channels + i % to.channels] += x / pixels as f64;
                }
                y
            }
            Op::GlobalMaxPool => {
                let mut y = vec![f64::NEG_INFINITY; self.labels.len() * to.len()];
                for (i, x) in x.iter().enumerate() {
                    let y = &mut y[i / from.len() * to.channels + i % to.channels];
                    *y = y.max(*x);
                }
                y
            }
            Op::Linear => {
                let (weights, bias) = (parameter(0), parameter(1));
                let row = |x: &[f64], o: usize| {
                    let products = x.iter().zip(&weights[o * from.channels..]);
                    bias[o] + products.map(|(x, w)| x * w).sum::<f64>()
                };
                let (row, images) = (&row, x.chunks_exact(from.channels));
                images.flat_map(|x| (0..to.channels).map(move |o| row(x, o))).collect()
            }
            Op::PadShortcut { stride } => {
                let before = (to.channels - from.channels) / 2;
                let window = Window { kernel: 1, stride, padding: 0, from, to };
                let mut y = vec![0.0; self.labels.len() * to.len()];
                window.visit(self.labels.len(), |_, input, output| {
                    let kept = &mut y[output + before..][..from.channels];
                    kept.copy_from_slice(&x[input..][..from.channels]);
                });
                y
            }
        }
    }

    /// The mean cross entropy of logits `[n][classes]`, with smoothed labels.
    pub(crate) fn loss(&self, logits: &[f64]) -> f64 {
        let classes = self.graph.classes();
        let mut sum = 0.0;
        for (row, &label) in logits.chunks_exact(classes).zip(&self.labels) {
            let log_total = row.iter().map(|x| x.exp()).sum::<f64>().ln();
            for (class, x) in row.iter().enumerate() {
                let hit = f64::from(class == label as usize);
                let target = (1.0 - self.smoothing) * hit + self.smoothing / classes as f64;
                sum -= target * (x - log_total);
            }
        }
        sum / self.labels.len() as f64
    }
}

/// A window that moves over an image.
struct Window {
    kernel: usize,
    stride: usize,
    padding: usize,
    from: Shape,
    to: Shape,
}

impl Window {
    /// Calls `f(tap, place of an input pixel, place of an output pixel)` for every tap inside.
    fn visit(&self, images: usize, mut f: impl FnMut(usize, usize, usize)) {
        let Window { kernel, stride, padding, from, to } = *self;
        let inside =
            |p: usize, size: usize| (p >= padding && p < size + padding).then(|| p - padding);
        for (n, y, x) in (0..images * to.height * to.width)
            .map(|i| (i / to.width / to.height, i / to.width % to.height, i % to.width))
        {
            for tap in 0..kernel * kernel {
                let row = inside(y * stride + tap / kernel, from.height);
                let column = inside(x * stride + tap % kernel, from.width);
                if let (Some(row), Some(column)) = (row, column) {
                    let input = ((n * from.height + row) * from.width + column) * from.channels;
                    f(tap, input, ((n * to.height + y) * to.width + x) * to.channels);
                }
            }
        }
    }
}

/// With the statistics of the batch (Ioffe and Szegedy 2015); PyTorch's epsilon.
fn batch_norm(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let channels = weight.len();
    let n = (x.len() / channels) as f64;
    let mut y = vec![0.0; x.len()];
    for c in 0..channels {
        let values = || x.iter().skip(c).step_by(channels);
        let mean = values().sum::<f64>() / n;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let scale = weight[c] / (variance + 1e-5).sqrt();
        for (y, x) in y.iter_mut().skip(c).step_by(channels).zip(values()) {
            *y = (x - mean) * scale + bias[c];
        }
    }
    y
}
