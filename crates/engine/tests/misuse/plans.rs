//! Plans and the engine, for networks that use every algorithm.

use std::fmt::Display;

use resnet_engine::{
    Engine, EngineConfig, EvalPlan, Input, MicroBatch, Targets, TrainPlan, optim::OptimizerBuffers,
};
use resnet_kernels::{Cpu, Dtype};
use resnet_network::{
    Graph, Network, graph::Op, network::Init, optim::SgdConfig, preprocess::Normalisation,
};

use super::caller::Caller;

const CHANNELS: usize = 3;
const CLASSES: usize = 4;

/// A stem, both strides of wide 3x3 windows, 1x1 ones, both shortcuts.
fn graph(c: &mut Caller<'_>) -> Graph {
    let mut g = Graph::new(CHANNELS);
    let x = g.conv2d("stem", Graph::INPUT, 32, c.one_of(&[3, 5]), 1, 1);
    let x = g.batch_norm2d("n0", x);
    let x = g.relu("r0", x);
    let x = if c.flip() { g.max_pool2d("pool", x, 3, 2, 1) } else { x };
    let a = g.conv2d("c1", x, 32, 3, 1, 1);
    let a = g.batch_norm2d("n1", a);
    let a = g.relu("r1", a);
    let a = g.conv2d("c2", a, 64, 3, 2, 1);
    let a = g.batch_norm2d("n2", a);
    let s = if c.flip() {
        g.push("pad", Op::PadShortcut { stride: 2 }, &[x], 64)
    } else {
        g.conv2d("down", x, 64, 1, 2, 0)
    };
    let x = g.add("sum", a, s);
    let x = g.relu("r2", x);
    let x = g.global_avg_pool("avg", x);
    g.linear("fc", x, CLASSES);
    g
}

struct Case {
    graph: Graph,
    net: Network,
    dtype: Dtype,
    batch: usize,
    side: usize,
    images: usize,
}

impl Case {
    fn choose(c: &mut Caller<'_>) -> Self {
        let graph = graph(c);
        let net = Network::new(graph.clone(), Init::PyTorch, 1);
        let (batch, side) = (c.one_of(&[1, 3, 40]), c.one_of(&[8, 9, 13]));
        Case { graph, net, dtype: c.dtype(), batch, side, images: batch.min(1 + c.choose(3)) }
    }

    /// The batch and the sides of the images of a plan.
    fn sizes(&self, c: &mut Caller<'_>) -> [usize; 3] {
        let most = usize::MAX;
        let large = [0, 1 << 28, 1 << 32, 1 << 62, most];
        [
            c.site("batch", self.batch, &[0, 1 << 32, 1 << 51, most]),
            c.site("height", self.side, &large),
            c.site("width", self.side, &large),
        ]
    }

    fn values(&self) -> usize {
        self.images * CHANNELS * self.side * self.side
    }
}

/// Images as values or bytes.
struct Images {
    values: Vec<f32>,
    bytes: Vec<u8>,
    normalisation: Option<Normalisation>,
}

impl Images {
    fn choose(c: &mut Caller<'_>, case: &Case) -> Self {
        let len = c.at_least("images", case.values());
        let normalisation = c.flip().then(|| {
            let channels = c.site("normalisation", CHANNELS, &[1, CHANNELS + 1]);
            Normalisation::new(vec![0.5; channels], vec![0.25; channels])
        });
        Images { values: c.numbers(len), bytes: vec![100; len], normalisation }
    }

    fn input(&self) -> Input<'_> {
        match &self.normalisation {
            Some(normalisation) => Input::Bytes(&self.bytes, normalisation),
            None => Input::Nchw(&self.values),
        }
    }
}

/// The network, or one of another graph.
fn network(c: &mut Caller<'_>, case: &Case) -> Network {
    if c.site("graph", false, &[true]) {
        let mut g = Graph::new(CHANNELS);
        let x = g.global_avg_pool("avg", Graph::INPUT);
        g.linear("fc", x, CLASSES);
        return Network::new(g, Init::PyTorch, 0);
    }
    case.net.clone()
}

/// What a plan says to sizes is an error, never a panic.
fn planned<T>(plan: Result<T, impl Display>) -> T {
    plan.unwrap_or_else(|error| panic!("refused: {error}"))
}

pub(crate) fn inference(c: &mut Caller<'_>, cpu: &Cpu) {
    let case = Case::choose(c);
    let [batch, height, width] = case.sizes(c);
    let (graph, dtype) = (&case.graph, case.dtype);
    let kind = c.choose(3);
    let mut probes = Vec::new();
    let mut plan = planned(match kind {
        0 => EvalPlan::new(graph, dtype, batch, height, width, cpu),
        1 => EvalPlan::micro_batched(case.images, graph, dtype, batch, height, width, cpu),
        _ => {
            let stem = graph.nodes().iter().position(|node| node.name == "stem").unwrap();
            let node = c.site("probe", stem, &[Graph::INPUT, graph.nodes().len(), usize::MAX]);
            probes.push(node);
            EvalPlan::with_probes(graph, dtype, batch, height, width, &probes, cpu)
        }
    });
    if !c.site("no network", false, &[true]) {
        plan.load(&network(c, &case));
    }
    let images = Images::choose(c, &case);
    let n = c.site("images", case.images, &[0, case.batch + 1, 1 << 32, usize::MAX]);
    let logits = plan.forward(images.input(), n).to_vec();
    c.finite(&logits);
    if let [node] = probes[..] {
        let node = c.site("probed", node, &[node + 1]);
        let image = c.site("image", 0, &[case.batch, usize::MAX]);
        c.finite(&plan.probed(node, image).1);
    }
}

pub(crate) fn training(c: &mut Caller<'_>, cpu: &Cpu) {
    let case = Case::choose(c);
    let [batch, height, width] = case.sizes(c);
    let sgd = SgdConfig {
        momentum: 0.9,
        weight_decay: 5e-4,
        nesterov: c.flip(),
        decay_norm_and_bias: true,
        ..SgdConfig::default()
    };
    let images = Images::choose(c, &case);
    let mut labels: Vec<u32> = (0..case.images).map(|_| c.choose(CLASSES) as u32).collect();
    labels[0] = c.site("label", labels[0], &[CLASSES as u32, u32::MAX]);
    let more = c.site("labels", 0, &[case.batch, 2 * case.batch]);
    labels.extend(std::iter::repeat_n(0, more));
    let targets = Targets::labels(&labels, 0.1);
    let of = c.site("images of the batch", case.images, &[0, case.images - 1]);
    let part = MicroBatch { input: images.input(), targets, batch_size: of, batch_weight: None };
    if c.flip() {
        let mut plan = planned(TrainPlan::new(&case.graph, case.dtype, batch, height, width, cpu));
        let mut net = network(c, &case);
        let len = c.exactly("gradients", case.net.values().len());
        let mut gradients = vec![0.0; len];
        let accumulate = c.flip();
        let step = plan.step(&mut net, &mut gradients, accumulate, part, &mut ());
        c.finite(&[step.loss as f32]);
        c.finite(&gradients);
        return;
    }
    let config = EngineConfig {
        dtype: case.dtype,
        batch,
        eval_batch: batch,
        height,
        width,
        optimizer: sgd.into(),
        ..EngineConfig::default()
    };
    let mut engine = planned(Engine::new(case.net.clone(), &config, cpu));
    let momentum = c.exactly("momentum", case.net.values().len());
    let buffers = OptimizerBuffers { values: vec![vec![0.0; momentum]], steps: Vec::new() };
    engine.load(network(c, &case), buffers);
    if !c.site("an update before a part", false, &[true]) {
        let step = engine.backward(part, &mut ()).unwrap();
        c.finite(&[step.loss as f32]);
        c.finite(engine.gradients().unwrap());
    }
    engine.apply(0.1).unwrap();
    let n = c.site("images", case.images, &[0, case.batch + 1, 1 << 62, usize::MAX]);
    let logits = engine.evaluate(images.input(), n).unwrap().to_vec();
    c.finite(&logits);
}
