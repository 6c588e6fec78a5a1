//! Every kernel over awkward shapes: small graphs around one layer, compared with the f64 interpreter.

use resnet_gpu::{GpuEngine, GpuEvalPlan, Settings};
use resnet_kernels::{Dtype, Smooth};
use resnet_network::{
    Graph, Network,
    graph::{NodeId, Op},
    network::Init,
    random::{Purpose, Random},
};
use resnet_program::{
    Input, MicroBatch, Targets,
    interpret::Interpreter,
    lower::{Lowering, inference, training},
};

use crate::{device, graphs::distance};

/// A graph, and the rows, columns and number of its images.
struct Case {
    what: String,
    graph: Graph,
    size: [usize; 2],
    images: usize,
    classes: usize,
}

/// A layer between a convolution of `ins` channels and the head. The batch norm before it makes the gradient of its
/// input count.
fn around(
    what: String,
    [channels, ins, classes]: [usize; 3],
    size: [usize; 2],
    images: usize,
    layer: impl Fn(&mut Graph, NodeId) -> NodeId,
) -> Case {
    let mut graph = Graph::new(channels);
    let x = graph.conv2d("stem", Graph::INPUT, ins, 3, 1, 1);
    let x = graph.batch_norm2d("n0", x);
    let x = layer(&mut graph, x);
    let x = graph.global_avg_pool("avg", x);
    graph.linear("head", x, classes);
    Case { what, graph, size, images, classes }
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    // Channels in and out, kernel, stride, padding, groups; rows, columns, images.
    for (conv, [height, width, images]) in [
        ([1, 1, 1, 1, 0, 1], [1, 1, 1]),
        ([3, 5, 3, 2, 1, 1], [1, 9, 2]),
        ([16, 16, 3, 1, 1, 1], [5, 7, 3]),
        ([17, 33, 3, 1, 1, 1], [6, 5, 2]),
        ([33, 17, 1, 2, 0, 1], [7, 6, 3]),
        ([64, 130, 3, 2, 1, 1], [9, 8, 2]),
        ([20, 70, 5, 3, 2, 1], [11, 13, 1]),
        ([8, 24, 7, 4, 3, 1], [12, 9, 2]),
        ([32, 16, 2, 2, 0, 1], [6, 6, 5]),
        ([130, 64, 1, 1, 0, 1], [3, 3, 7]),
        ([12, 18, 3, 2, 1, 3], [7, 7, 2]),
        ([34, 34, 3, 1, 1, 34], [5, 4, 2]),
        ([16, 16, 3, 1, 1, 1], [33, 31, 9]),
    ] {
        let [ins, outs, kernel, stride, padding, groups] = conv;
        all.push(around(
            format!("conv {conv:?}, {images} images of {height} x {width}"),
            [1 + ins % 4, ins, 3],
            [height, width],
            images,
            |graph, x| match groups {
                1 => graph.conv2d("c", x, outs, kernel, stride, padding),
                groups => graph.grouped_conv2d("c", x, outs, [kernel, stride, padding], groups),
            },
        ));
    }
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2)] {
        all.push(around(
            format!("max pool {kernel} {stride} {padding}"),
            [3, 18, 4],
            [9, 7],
            3,
            |graph, x| graph.max_pool2d("p", x, kernel, stride, padding),
        ));
    }
    for kernel in [2, 3] {
        all.push(around(format!("average pool {kernel}"), [3, 21, 4], [7, 8], 2, |graph, x| {
            graph.avg_pool2d("p", x, kernel)
        }));
    }
    for (stride, outs) in [(1, 20), (2, 9), (3, 40)] {
        all.push(around(format!("shortcut {stride} {outs}"), [2, 9, 5], [8, 7], 3, |graph, x| {
            graph.push("s", Op::PadShortcut { stride }, &[x], outs)
        }));
    }
    for op in [Op::Gelu { tanh: false }, Op::Gelu { tanh: true }, Op::Silu, Op::Relu] {
        // After a batch norm it is fused, after a convolution it is not; once with a sum.
        all.push(around(format!("{op:?}"), [3, 18, 4], [6, 5], 3, |graph, x| {
            let a = graph.push("a", op, &[x], 18);
            let c = graph.conv2d("c", a, 18, 1, 1, 0);
            let b = graph.push("b", op, &[c], 18);
            let n = graph.batch_norm2d("n", b);
            let sum = graph.add("sum", n, a);
            graph.push("d", op, &[sum], 18)
        }));
    }
    let global = around("global maximum, 1,003 classes".into(), [3, 40, 2], [4, 5], 3, |_, x| x);
    let mut graph = Graph::new(3);
    let x = graph.conv2d("stem", Graph::INPUT, 40, 3, 1, 1);
    let x = graph.push("max", Op::GlobalMaxPool, &[x], 40);
    graph.linear("head", x, 1003);
    all.push(Case { graph, classes: 1003, ..global });
    all
}

#[test]
fn every_layer_equals_the_interpreter() {
    compare(Dtype::Fp32, [1e-5, 1e-4, 1e-5, 1e-5]);
}

/// The interpreter rounds what it stores to bfloat16, too. Where a sum lies between two of its numbers, the rounding of f32
/// decides for another one now and then, which is 2^-8 away.
#[test]
fn every_layer_equals_the_interpreter_in_bf16() {
    compare(Dtype::Bf16, [1e-2, 3e-2, 3e-3, 1e-2]);
}

/// Compares a step and inference of every case. How far they may be off: the loss; a gradient by its own norm, and by the
/// largest value of all gradients; logits.
fn compare(dtype: Dtype, [most_loss, most_gradient, most_of_largest, most_logits]: [f64; 4]) {
    let Some(gpu) = device() else { return };
    for case in cases() {
        let Case { what, graph, size: [height, width], images: n, classes } = case;
        let channels = graph.in_channels();
        let net = Network::new(graph, Init::He, 7);
        let mut random = Random::new(3, Purpose::Synthetic, &[1]);
        let x: Vec<f32> = (0..n * channels * height * width).map(|_| random.normal()).collect();
        let labels: Vec<u32> = (0..n).map(|i| (i * 7 % classes) as u32).collect();
        let targets = Targets::labels(&labels, 0.1);
        let lowering =
            Lowering { graph: net.graph(), dtype, batch: n, height, width, frozen: &[], eval: &[] };
        let program = training(lowering, &mut |_| false).unwrap();
        let mut truth = Interpreter::new(&program).in_its_dtype();
        truth.run(&net, &x, [n, n], Some(targets));
        let settings = Settings {
            dtype,
            batch: n,
            eval_batch: n,
            height,
            width,
            buffers: 1,
            muon: false,
            norm_momentum: 0.1,
            average: false,
        };
        let mut engine = GpuEngine::new(&gpu, &net, &settings).unwrap();
        engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), false).unwrap();
        let result = engine.result().unwrap();
        let error = (result.loss - truth.loss).abs();
        assert!(error < most_loss * truth.loss.max(1.0), "{what}: loss {error:e}");
        let gradients = engine.gradients().unwrap();
        // Some gradients are exactly 0: the bias of a constant channel, for example.
        let largest = truth.d_parameters.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        for param in net.params() {
            let at = param.range.clone();
            let (got, want) = (&gradients[at.clone()], &truth.d_parameters[at]);
            let of = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
            let error = of(&mut got.iter().zip(want).map(|(g, w)| f64::from(*g) - w)).sqrt();
            let norm = of(&mut want.iter().copied()).sqrt();
            let most = most_gradient * norm + most_of_largest * largest;
            assert!(error < most, "{what}: {} {error:e}, allowed {most:e}", param.name);
        }
        let lowering = Lowering { graph: net.graph(), ..lowering };
        let program = inference(lowering, &[]).unwrap();
        let mut truth = Interpreter::new(&program).in_its_dtype();
        truth.run(&net, &x, [n, n], None);
        let (graph, size) = (net.graph(), [height, width]);
        let mut plan = GpuEvalPlan::new(&gpu, graph, dtype, n, size, &[]).unwrap();
        plan.load(&net).unwrap();
        let error = distance(plan.forward(Input::Nchw(&x), n).unwrap(), &truth.logits);
        assert!(error < most_logits, "{what}: logits {error:e}");
    }
}

/// The functions of the shaders, far from 0 as well.
#[test]
fn smooth_activations_equal_their_formulas() {
    let Some(gpu) = device() else { return };
    for (op, function) in [
        (Op::Gelu { tanh: false }, Smooth::Gelu),
        (Op::Gelu { tanh: true }, Smooth::GeluTanh),
        (Op::Silu, Smooth::Silu),
    ] {
        // One pixel passes through a convolution of weight 1 and a head of weight 1.
        let mut graph = Graph::new(1);
        let x = graph.conv2d("stem", Graph::INPUT, 1, 1, 1, 0);
        let x = graph.push("act", op, &[x], 1);
        let x = graph.global_avg_pool("avg", x);
        graph.linear("head", x, 1);
        let mut net = Network::new(graph, Init::He, 0);
        net.values_mut().copy_from_slice(&[1.0, 1.0, 0.0]);
        let xs: Vec<f32> = (-120..=120).map(|i| i as f32 * 0.11).collect();
        let n = xs.len();
        let mut plan = GpuEvalPlan::new(&gpu, net.graph(), Dtype::Fp32, n, [1, 1], &[]).unwrap();
        plan.load(&net).unwrap();
        let got = plan.forward(Input::Nchw(&xs), n).unwrap();
        for (x, got) in xs.iter().zip(got) {
            let want = function.value(f64::from(*x));
            let error = (f64::from(*got) - want).abs();
            assert!(error < 2e-6 * want.abs().max(0.2), "{function:?} of {x}: {got} {want}");
        }
    }
}
