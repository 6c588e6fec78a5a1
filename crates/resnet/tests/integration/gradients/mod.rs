//! Gradients of whole networks: fp32 compared with finite differences, bf16 compared with fp32, and
//! independence of the number of threads.

mod bf16;
mod slope;

use resnet::{
    Arch, Cpu, Dtype, Graph, Network,
    engine::{EvalPlan, Input, TrainPlan, program::Pass},
    graph::Op,
    network::Init,
    random::{Purpose, Random},
};
use resnet_kernels::{Algorithms, Isa};

use crate::common::{algorithms_of, step};

const DTYPES: [Dtype; 2] = [Dtype::Fp32, Dtype::Bf16];

fn noise(len: usize, key: u64) -> Vec<f32> {
    let mut random = Random::new(9, Purpose::Synthetic, &[key]);
    (0..len).map(|_| random.normal()).collect()
}

/// Every operation, also where nothing can be fused: a ReLU and sums that follow no batch norm, a
/// batch norm whose input is read twice, a value that is both input and residual.
fn odd_graph() -> Graph {
    let mut g = Graph::new(2);
    let x = g.conv2d("stem", Graph::INPUT, 6, 5, 2, 2);
    let n = g.batch_norm2d("n1", x);
    let same = g.add("n1_plus_x", n, x);
    let p = g.max_pool2d("pool", same, 3, 2, 1);
    let r = g.relu("relu", p);
    let c = g.conv2d("c", r, 6, 3, 1, 1);
    let s = g.add("sum", c, p);
    let s = g.relu("sum_relu", s);
    let wide = g.push("wide", Op::PadShortcut { stride: 2 }, &[s], 11);
    let d = g.conv2d("d", s, 11, 1, 2, 0);
    let d = g.batch_norm2d("n2", d);
    let e = g.add("e", wide, d);
    let f = g.batch_norm2d("n3", e);
    let twice = g.add("twice", f, e);
    // A batch norm whose sum is read again before its ReLU.
    let h = g.conv2d("h", twice, 11, 3, 1, 1);
    let n4 = g.batch_norm2d("n4", h);
    let once = g.add("once", n4, twice);
    let again = g.add("again", h, once);
    let once = g.relu("once_relu", once);
    let both = g.add("both", once, again);
    let a = g.global_avg_pool("avg", both);
    g.linear("head", a, 3);
    g
}

/// Wide enough for every algorithm; see `every_algorithm_runs`.
fn wide_graph() -> Graph {
    let mut g = Graph::new(2);
    let x = g.conv2d("stem", Graph::INPUT, 32, 3, 1, 1);
    let x = g.batch_norm2d("stem_bn", x);
    let x = g.relu("stem_relu", x);
    // Its batch norm is applied by the convolution that follows.
    let y = g.conv2d("a1", x, 32, 3, 1, 1);
    let y = g.batch_norm2d("a1_bn", y);
    let y = g.relu("a1_relu", y);
    let y = g.conv2d("a2", y, 32, 3, 1, 1);
    let y = g.batch_norm2d("a2_bn", y);
    let y = g.add("a_sum", y, x);
    let x = g.relu("a_relu", y);
    let y = g.conv2d("b1", x, 32, 3, 2, 1);
    let y = g.batch_norm2d("b1_bn", y);
    let s = g.conv2d("b_shortcut", x, 32, 1, 2, 0);
    let s = g.batch_norm2d("b_shortcut_bn", s);
    let y = g.add("b_sum", y, s);
    let x = g.relu("b_relu", y);
    let y = g.conv2d("c", x, 64, 1, 1, 0);
    let y = g.batch_norm2d("c_bn", y);
    let x = g.relu("c_relu", y);
    let y = g.conv2d("d", x, 16, 3, 1, 1);
    let y = g.batch_norm2d("d_bn", y);
    let x = g.relu("d_relu", y);
    let a = g.global_avg_pool("avg", x);
    g.linear("head", a, 3);
    g
}

/// Groups of four channels, of one, of more outputs than inputs; average pools, of windows that
/// edges cut.
fn grouped_graph() -> Graph {
    let mut g = Graph::new(2);
    let x = g.conv2d("stem", Graph::INPUT, 16, 3, 1, 1);
    let x = g.batch_norm2d("stem_bn", x);
    let x = g.relu("stem_relu", x);
    let y = g.grouped_conv2d("a1", x, 16, [3, 1, 1], 4);
    let y = g.batch_norm2d("a1_bn", y);
    let y = g.relu("a1_relu", y);
    let y = g.grouped_conv2d("a2", y, 24, [3, 2, 1], 2);
    let y = g.batch_norm2d("a2_bn", y);
    let s = g.avg_pool2d("a_pool", x, 2);
    let s = g.conv2d("a_shortcut", s, 24, 1, 1, 0);
    let s = g.batch_norm2d("a_shortcut_bn", s);
    let y = g.add("a_sum", y, s);
    let x = g.relu("a_relu", y);
    let y = g.grouped_conv2d("b", x, 24, [3, 1, 1], 24);
    let y = g.batch_norm2d("b_bn", y);
    let y = g.add("b_sum", y, x);
    let x = g.relu("b_relu", y);
    let x = g.avg_pool2d("pool", x, 3);
    let a = g.global_avg_pool("avg", x);
    g.linear("head", a, 3);
    g
}

fn nets() -> Vec<(&'static str, Graph)> {
    let of = |name: &str, width| name.parse::<Arch>().unwrap().graph_with(2, 3, width);
    vec![
        ("odd", odd_graph()),
        ("grouped", grouped_graph()),
        ("resnet8", of("resnet8", 4)),
        ("plain8", of("plain8", 5)),
        ("resnet18", of("resnet18", 3)),
        ("resnet8-sprint", of("resnet8-sprint+gelu", 4)),
        ("preresnet8", of("preresnet8+silu", 4)),
        ("wide", wide_graph()),
    ]
}

/// A network and the size of its batches: images, rows and columns.
struct Case {
    name: &'static str,
    net: Network,
    size: [usize; 3],
    /// How far bf16 may take a tensor's gradients, relative by norm.
    rounding: f64,
}

/// Every network with parameters of which none is 0 or 1, as a batch norm's are at first.
fn cases() -> Vec<Case> {
    let case = |(name, graph): (&'static str, Graph)| {
        let mut net = Network::new(graph, Init::He, 4);
        for (key, param) in net.params().to_vec().into_iter().enumerate() {
            let mut random = Random::new(5, Purpose::Synthetic, &[key as u64]);
            if !param.kind.is_weight() {
                let values = &mut net.values_mut()[param.range];
                values.iter_mut().for_each(|v| *v += 0.6 * random.uniform() - 0.3);
            }
        }
        // With fewer images, no strided convolution takes Winograd's algorithm.
        let rounding = match name {
            "odd" => 0.1,
            "resnet18" => 0.7,
            _ => 0.3,
        };
        Case { name, net, size: [8, 14, 15], rounding }
    };
    nets().into_iter().map(case).collect()
}

/// Slopes and fp32 are compared where each algorithm is taken, in each direction.
#[test]
fn every_algorithm_runs() {
    let all = ["F(4x4,3x3)", "F(4x4,3x3)/2", "GEMM", "direct"];
    let case = cases().pop().unwrap();
    let (graph, [images, height, width]) = (case.net.graph(), case.size);
    for (isa, dtype) in Isa::to_test().into_iter().flat_map(|isa| DTYPES.map(|d| (isa, d))) {
        for (algorithms, want) in [(Algorithms::Fastest, &all[..]), (Algorithms::Direct, &all[2..])]
        {
            let cpu = Cpu::with_isa(2, isa).unwrap().with_algorithms(algorithms);
            let plan = TrainPlan::new(graph, dtype, images, height, width, &cpu).unwrap();
            for pass in [Pass::Forward, Pass::BackwardData, Pass::BackwardWeight] {
                let taken = algorithms_of(&plan.summary(), pass);
                assert_eq!(taken, want, "{isa} {dtype} {algorithms:?} {pass}");
            }
        }
    }
}

#[test]
fn threads_and_spare_room_change_no_bit() {
    for (name, graph) in nets() {
        for (isa, dtype) in Isa::to_test().into_iter().flat_map(|isa| DTYPES.map(|d| (isa, d))) {
            let run = |threads, room: usize| {
                let cpu = Cpu::with_isa(threads, isa).unwrap();
                let mut net = Network::new(graph.clone(), Init::PyTorch, 4);
                let mut plan = TrainPlan::new(&graph, dtype, 9 + room, 14, 15, &cpu).unwrap();
                let mut gradients = vec![0.0; net.values().len()];
                let x = noise(9 * 2 * 14 * 15, 1);
                let labels = [0, 1, 2, 0, 1, 2, 0, 1, 2];
                let input = Input::Nchw(&x);
                // Twice: what the first step leaves behind must not reach the second.
                for _ in 0..2 {
                    step(&mut plan, &mut net, &mut gradients, input, &labels, 0.0);
                }
                let mut eval = EvalPlan::new(&graph, dtype, 9 + room, 14, 15, &cpu).unwrap();
                eval.load(&net);
                let logits = eval.forward(input, 9).to_vec();
                let all = [gradients, logits, plan.logits()[..27].to_vec()].concat();
                assert!(all.iter().all(|value| value.is_finite()));
                (all.into_iter().map(f32::to_bits).collect::<Vec<_>>(), net.state_dict())
            };
            let one = run(1, 0);
            for (threads, room) in [(2, 0), (7, 0), (2, 6)] {
                let same = one == run(threads, room);
                assert!(same, "{name} {isa} {dtype}: {threads} threads, room {room}");
            }
        }
    }
}

/// Both dtypes run the same network: they differ by rounding, but not by more.
#[test]
fn bf16_is_close_to_fp32() {
    for (name, graph) in nets() {
        for isa in Isa::to_test() {
            let cpu = Cpu::with_isa(2, isa).unwrap();
            let x = noise(9 * 2 * 14 * 15, 1);
            let net = Network::new(graph.clone(), Init::PyTorch, 4);
            let logits = DTYPES.map(|dtype| {
                let mut train = TrainPlan::new(&graph, dtype, 9, 14, 15, &cpu).unwrap();
                let mut gradients = vec![0.0; net.values().len()];
                let labels = [0, 1, 2, 0, 1, 2, 0, 1, 2];
                let input = Input::Nchw(&x);
                step(&mut train, &mut net.clone(), &mut gradients, input, &labels, 0.0);
                let mut eval = EvalPlan::new(&graph, dtype, 9, 14, 15, &cpu).unwrap();
                eval.load(&net);
                [train.logits().to_vec(), eval.forward(input, 9).to_vec()]
            });
            for (fp32, bf16) in logits[0].iter().zip(&logits[1]) {
                let square =
                    |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>().sqrt();
                let difference = square(&mut fp32.iter().zip(bf16).map(|(a, b)| a - b));
                let relative = difference / square(&mut fp32.iter().copied());
                // About 0.1 for 18 narrow layers, the last on one pixel; an error gives about 1.
                assert!(relative > 0.0 && relative < 0.3, "{name} {isa}: {relative}");
            }
        }
    }
}

#[test]
fn says_what_cannot_be_planned() {
    let cpu = Cpu::new(1).unwrap();
    let graph = odd_graph();
    let error = |batch, size| {
        TrainPlan::new(&graph, Dtype::Fp32, batch, size, size, &cpu).unwrap_err().to_string()
    };
    assert!(error(0, 8).contains("1 to 1048576 images, not 0"));
    assert!(error(1, 100_000).contains("too large"));
    let mut open = graph.clone();
    open.relu("after", 1);
    assert!(
        TrainPlan::new(&open, Dtype::Fp32, 1, 8, 8, &cpu)
            .unwrap_err()
            .to_string()
            .contains("linear")
    );
}
