//! Summaries of plans: every node once per pass, in the order in which steps report them; the
//! algorithms; bytes and memory.

use std::collections::BTreeMap;

use resnet::{
    Arch, Cpu, Dtype, Graph, Network,
    engine::{
        EvalPlan, Input, TrainPlan,
        plan_summary::{Algorithm, PlanSummary},
        program::{Kind, Operation, Pass},
    },
    engine::{Hooks, MicroBatch, Targets},
    graph::Op,
    network::Init,
};
use resnet_kernels::{Algorithms, Isa};

const DTYPES: [Dtype; 2] = [Dtype::Fp32, Dtype::Bf16];

fn graph(arch: &str) -> Graph {
    arch.parse::<Arch>().unwrap().graph(10)
}

fn operations(summary: &PlanSummary) -> Vec<Operation> {
    summary.operations.iter().map(|planned| planned.operation.clone()).collect()
}

/// How often each node occurs.
fn count<'a>(operations: impl Iterator<Item = &'a Operation>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for name in operations.flat_map(|o| &o.names) {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

fn once(graph: &Graph, keep: impl Fn(&Op, bool) -> bool) -> BTreeMap<&str, usize> {
    let nodes = graph.nodes().iter();
    let kept = nodes.filter(|n| keep(&n.op, n.inputs.first() == Some(&Graph::INPUT)));
    kept.map(|n| (n.name.as_str(), 1)).collect()
}

#[test]
fn operations_cover_every_node_once_a_pass() {
    let cpu = Cpu::new(1).unwrap();
    for arch in ["resnet20", "plain20", "resnet18-cifar", "resnet50", "resnet18"] {
        let graph = graph(arch);
        let train = TrainPlan::new(&graph, Dtype::Fp32, 1, 64, 64, &cpu).unwrap().summary();
        let eval = EvalPlan::new(&graph, Dtype::Fp32, 1, 64, 64, &cpu).unwrap().summary();
        let of = |summary: &PlanSummary, passes: &[Pass]| -> Vec<Operation> {
            let wanted = |o: &Operation| o.kind != Kind::Packing && passes.contains(&o.pass);
            operations(summary).into_iter().filter(wanted).collect()
        };
        for summary in [&train, &eval] {
            let forward = of(summary, &[Pass::Forward]);
            assert_eq!(count(forward.iter()), once(&graph, |_, _| true), "{arch}");
        }
        // The images have no gradient, and so the first convolution computes none for them.
        let data = of(&train, &[Pass::Backward, Pass::BackwardData]);
        let want = once(&graph, |op, first| *op != Op::Input && !first);
        assert_eq!(count(data.iter()), want, "{arch}");
        let weight = of(&train, &[Pass::Backward, Pass::BackwardWeight]);
        assert_eq!(count(weight.iter()), once(&graph, |op, _| *op != Op::Input), "{arch}");
        assert_eq!(eval.operations.len(), eval.layers.len() + 1, "{arch}: no backward pass");
    }
}

#[derive(Default)]
struct Done(Vec<usize>);

impl Hooks for Done {
    fn done(&mut self, operation: usize) {
        self.0.push(operation);
    }
}

#[test]
fn steps_report_what_outlines_list() {
    let cpu = Cpu::new(2).unwrap();
    for (arch, dtype) in
        ["resnet8", "resnet18", "resnet50-cifar"].into_iter().flat_map(|a| DTYPES.map(|d| (a, d)))
    {
        let graph = arch.parse::<Arch>().unwrap().graph_with(3, 10, 8);
        let mut net = Network::new(graph.clone(), Init::PyTorch, 0);
        let mut gradients = vec![0.0; net.values().len()];
        let images = vec![0.25; 2 * 3 * 32 * 32];
        let (input, targets) = (Input::Nchw(&images), Targets::labels(&[1, 2], 0.0));
        let mut plan = TrainPlan::new(&graph, dtype, 2, 32, 32, &cpu).unwrap();
        let mut done = Done::default();
        let part = MicroBatch::whole(input, targets);
        plan.step(&mut net, &mut gradients, false, part, &mut done);
        // The last one is the update, which is the optimiser's.
        let listed = operations(&plan.summary());
        assert_eq!(listed.last().unwrap().kind, Kind::Update);
        assert!(done.0.into_iter().eq(0..listed.len() - 1), "{arch} {dtype}");
        let mut plan = EvalPlan::new(&graph, dtype, 2, 32, 32, &cpu).unwrap();
        plan.load(&net);
        let mut done = Done::default();
        plan.forward_with(input, 2, &mut done);
        assert!(done.0.into_iter().eq(0..plan.summary().operations.len()), "{arch} {dtype}");
    }
}

/// Of a convolution's forward and backward passes, which here take the same algorithm.
fn algorithm(summary: &PlanSummary, name: &str) -> Algorithm {
    let layer = summary.layers.iter().find(|layer| layer.nodes[0] == name).expect(name);
    let mut found = layer.algorithms.iter().map(|a| a.1);
    let first = found.next().expect(name);
    assert!(found.all(|other| other == first), "{name}: {:?}", layer.algorithms);
    first
}

#[test]
fn algorithms_depend_on_shape() {
    for isa in Isa::to_test() {
        let cpu = Cpu::with_isa(1, isa).unwrap();
        let direct = cpu.clone().with_algorithms(Algorithms::Direct);
        let [winograd, strided] = [1, 2].map(|stride| Algorithm::Winograd { side: 4, stride });
        for dtype in [Dtype::Fp32, Dtype::Bf16] {
            let wide = graph("resnet18-cifar");
            let plan = TrainPlan::new(&wide, dtype, 16, 32, 32, &cpu).unwrap().summary();
            for (name, want) in [
                ("conv1", Algorithm::Direct),
                ("layer1.0.conv1", winograd),
                ("layer1.1.conv2", winograd),
                ("layer2.0.conv1", strided),
                ("layer2.0.conv2", winograd),
                ("layer2.0.shortcut.0", Algorithm::Gemm),
                ("layer3.1.conv1", winograd),
                ("layer4.0.shortcut.0", Algorithm::Gemm),
                ("layer4.1.conv2", winograd),
            ] {
                assert_eq!(algorithm(&plan, name), want, "{isa} {dtype} {name}");
            }
            // The paper's nets are narrow: too narrow at first.
            let narrow = graph("resnet20");
            let plan = EvalPlan::new(&narrow, dtype, 2, 32, 32, &cpu).unwrap().summary();
            assert_eq!(algorithm(&plan, "layer1.0.conv1"), Algorithm::Direct);
            assert_eq!(algorithm(&plan, "layer2.0.conv2"), winograd);
            assert_eq!(algorithm(&plan, "layer3.2.conv2"), winograd);
            let plan = TrainPlan::new(&wide, dtype, 2, 32, 32, &direct).unwrap().summary();
            let mut all = plan.layers.iter().flat_map(|layer| &layer.algorithms);
            assert!(all.all(|a| matches!(a.1, Algorithm::Direct | Algorithm::Gemm)));
        }
    }
}

#[test]
fn bytes_and_operations_by_hand() {
    let mut g = Graph::new(3);
    let c = g.conv2d("conv1", Graph::INPUT, 16, 3, 1, 1);
    let b = g.batch_norm2d("bn1", c);
    let r = g.relu("relu1", b);
    let d = g.conv2d("conv2", r, 32, 1, 2, 0);
    let p = g.global_avg_pool("avgpool", d);
    g.linear("linear", p, 10);
    let cpu = Cpu::new(1).unwrap();
    let n = 4;
    for (dtype, element) in [(Dtype::Fp32, 4), (Dtype::Bf16, 2)] {
        let listed = operations(&TrainPlan::new(&g, dtype, n, 8, 8, &cpu).unwrap().summary());
        // Images with their border stay f32; the second convolution reads a quarter of the pixels.
        let (image, wide, small) =
            (n * 4 * 3 * 10 * 10, n * element * 16 * 64, n * element * 32 * 16);
        let (pooled, logits) = (n * element * 32, n * 4 * 10);
        let (w1, norm, w2, linear) = (4 * 432, 4 * 32, 4 * 512, 4 * 330);
        for (nodes, pass, products, bytes) in [
            (&["input"][..], Pass::Forward, 0, n * 3 * 64 + image),
            (&["conv1"], Pass::Forward, 432 * 64, image + wide + w1),
            (&["conv1"], Pass::BackwardWeight, 432 * 64, image + wide + w1),
            (&["bn1", "relu1"], Pass::Forward, 0, 2 * wide + norm),
            // Input, output that gates, and a gradient that becomes the other in place.
            (&["bn1", "relu1"], Pass::Backward, 0, 4 * wide + 2 * norm),
            (&["conv2"], Pass::Forward, 512 * 16, wide / 4 + small + w2),
            (&["conv2"], Pass::BackwardWeight, 512 * 16, wide / 4 + small + w2),
            (&["conv2"], Pass::BackwardData, 512 * 16, small + wide + w2),
            (&["avgpool"], Pass::Backward, 0, pooled + small),
            (&["linear"], Pass::Forward, 320, pooled + logits + linear),
            (&["linear"], Pass::Backward, 640, 2 * pooled + logits + 2 * linear),
            (&[], Pass::Forward, 0, 2 * logits),
        ] {
            let wanted = |o: &&Operation| {
                o.kind != Kind::Packing && o.pass == pass && o.names.iter().eq(nodes)
            };
            let found: Vec<&Operation> = listed.iter().filter(wanted).collect();
            assert_eq!(found.len(), 1, "{nodes:?} {pass}");
            let got = (found[0].flops, found[0].bytes);
            let want = (2 * (n * products) as u64, bytes as u64);
            assert_eq!(got, want, "{dtype} {nodes:?} {pass}");
        }
    }
}

/// A batch norm that the convolution after it applies reads for its statistics alone.
#[test]
fn what_is_not_stored_is_not_counted() {
    let cpu = Cpu::new(1).unwrap();
    let graph = graph("resnet18-cifar");
    let summary = TrainPlan::new(&graph, Dtype::Fp32, 2, 32, 32, &cpu).unwrap().summary();
    let value = 2 * 4 * 64 * 1024;
    let parameters = 2 * 4 * 64;
    // `layer1.0.relu2` is read by two.
    for (name, stored) in [("layer1.0.bn1", 0), ("layer1.0.bn2", value)] {
        let layer = summary.layers.iter().find(|layer| layer.nodes[0] == name).unwrap();
        assert_eq!(layer.activation_bytes, stored, "{name}");
        let bytes = |pass| {
            let mut found = operations(&summary).into_iter();
            found.find(|o| o.pass == pass && o.names == layer.nodes).unwrap().bytes as usize
        };
        let residual = stored;
        assert_eq!(bytes(Pass::Forward), value + residual + stored + parameters, "{name}");
        // Input, both gradients, the output as a gate, the gradient of the residual.
        let least = 3 * value + stored + residual + 2 * parameters;
        let accumulated = bytes(Pass::Backward) - least;
        assert!(accumulated == 0 || accumulated == residual, "{name}: {accumulated}");
    }
}

#[test]
fn memory_is_what_a_plan_allocates() {
    let graph = graph("resnet20");
    let cpu = Cpu::new(1).unwrap();
    for (dtype, train) in DTYPES.into_iter().flat_map(|d| [(d, true), (d, false)]) {
        let (mut total, mut tables) = (0, 0);
        let count = allocation_counter::measure(|| {
            let summary = if train {
                TrainPlan::new(&graph, dtype, 32, 32, 32, &cpu).unwrap().summary()
            } else {
                EvalPlan::new(&graph, dtype, 32, 32, 32, &cpu).unwrap().summary()
            };
            (total, tables) = (summary.memory.total(), summary.memory.tables);
        });
        // Names and lists come on top. Tables are what they take at most.
        let ratio = |total: usize| count.bytes_max as f64 / total as f64;
        let (least, most) = (ratio(total - tables), ratio(total));
        assert!(least >= 1.0 && most < 1.05, "{dtype}, train {train}: {least}, {most}");
    }
}
