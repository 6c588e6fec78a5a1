//! Probes and class activation maps.

use resnet::{
    Arch, Cpu, Dtype, Graph, Network,
    cam::ActivationMaps,
    engine::{EvalPlan, Input},
    graph::Op,
    network::Init,
    random::{Purpose, Random},
};

fn noise(n: usize) -> Vec<f32> {
    let mut random = Random::new(3, Purpose::Synthetic, &[]);
    (0..n).map(|_| random.normal()).collect()
}

/// A narrow network of the family whose batch norms do something.
fn network(name: &str) -> Network {
    let arch: Arch = name.parse().unwrap();
    let mut net = Network::new(arch.graph_with(3, 7, 20), Init::PyTorch, 1);
    let mut random = Random::new(5, Purpose::Init, &[]);
    for param in net.params().to_vec() {
        let values = &mut net.values_mut()[param.range];
        if param.name.ends_with("bias") {
            values.iter_mut().for_each(|x| *x = 0.3 * random.normal());
        }
    }
    net
}

/// Networks and the sides of their images; the last ends in a max pool.
const CASES: [(&str, usize); 5] =
    [("resnet20", 32), ("plain20", 20), ("resnet18", 64), ("resnet50", 70), ("resnet8-sprint", 40)];

#[test]
fn the_mean_of_a_map_plus_the_bias_is_the_logit() {
    let cpu = Cpu::new(2).unwrap();
    for (name, side) in CASES {
        let net = network(name);
        let bias = net.params().last().unwrap().range.clone();
        let images = noise(3 * 3 * side * side);
        for (dtype, tolerance) in [(Dtype::Fp32, 1e-5), (Dtype::Bf16, 2e-2)] {
            let mut maps = ActivationMaps::new(&net, dtype, 3, side, side, &cpu).unwrap();
            let logits = maps.forward(Input::Nchw(&images), 3).unwrap().to_vec();
            let largest = logits.iter().fold(0f32, |max, x| max.max(x.abs()));
            for (i, logit) in logits.iter().enumerate() {
                let map = maps.map(i / 7, i % 7);
                assert_eq!(map.values.len(), map.rows * map.columns);
                let mean = map.values.iter().sum::<f32>() / map.values.len() as f32;
                let error = (mean + net.values()[bias.start + i % 7] - logit).abs();
                assert!(error < tolerance * largest, "{name} {dtype:?}: {error} of {largest}");
            }
        }
    }
}

#[test]
fn features_times_the_head_are_the_logits() {
    let cpu = Cpu::new(2).unwrap();
    for (name, side) in CASES {
        let net = network(name);
        let [.., weight, bias] = net.params() else { panic!("a head") };
        let (weight, bias) =
            (&net.values()[weight.range.clone()], &net.values()[bias.range.clone()]);
        let images = noise(3 * 3 * side * side);
        let mut maps =
            ActivationMaps::micro_batched(32, &net, Dtype::Fp32, 32, side, side, &cpu).unwrap();
        assert_eq!(maps.batch(), 32);
        let logits = maps.forward(Input::Nchw(&images), 3).unwrap().to_vec();
        let largest = logits.iter().fold(1f32, |max, x| max.max(x.abs()));
        let features: Vec<_> = (0..3).map(|image| maps.features(image)).collect();
        for (i, &logit) in logits.iter().enumerate() {
            let x = &features[i / 7];
            let row = &weight[i % 7 * x.len()..][..x.len()];
            let product: f32 = row.iter().zip(x).map(|(w, x)| w * x).sum();
            let error = (product + bias[i % 7] - logit).abs();
            assert!(error < 1e-5 * largest, "{name}: {error} of {largest}");
        }
        // Alone, an image has the same bits.
        let last = &images[2 * 3 * side * side..];
        assert_eq!(maps.forward(Input::Nchw(last), 1).unwrap(), &logits[14..]);
        assert_eq!(maps.features(0), features[2]);
    }
}

#[test]
fn a_probe_changes_no_logit() {
    let cpu = Cpu::new(2).unwrap();
    let net = network("resnet20");
    let (graph, images) = (net.graph(), noise(2 * 3 * 32 * 32));
    let mut plain = EvalPlan::new(graph, Dtype::Fp32, 2, 32, 32, &cpu).unwrap();
    plain.load(&net);
    let expected = plain.forward(Input::Nchw(&images), 2).to_vec();
    let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    for node in 1..graph.nodes().len() - 1 {
        let mut plan = EvalPlan::with_probes(graph, Dtype::Fp32, 2, 32, 32, &[node], &cpu).unwrap();
        plan.load(&net);
        let logits = plan.forward(Input::Nchw(&images), 2);
        let name = &graph.nodes()[node].name;
        for (a, b) in logits.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4 * largest, "{name}: {a} and {b}");
        }
    }
}

/// What a probe finds at each node follows from what others find at its inputs.
#[test]
fn probes_agree_with_each_other() {
    let cpu = Cpu::new(1).unwrap();
    let net = network("resnet20");
    let (graph, images) = (net.graph(), noise(2 * 3 * 32 * 32));
    let probed = |node| {
        let mut plan = EvalPlan::with_probes(graph, Dtype::Fp32, 2, 32, 32, &[node], &cpu).unwrap();
        plan.load(&net);
        plan.forward(Input::Nchw(&images), 2);
        let (shape, values) = plan.probed(node, 1);
        assert_eq!(values.len(), shape.len());
        (shape, values)
    };
    // All at once find the same.
    let all: Vec<usize> = (1..graph.nodes().len() - 1).collect();
    let mut plan = EvalPlan::with_probes(graph, Dtype::Fp32, 2, 32, 32, &all, &cpu).unwrap();
    plan.load(&net);
    plan.forward(Input::Nchw(&images), 2);
    for &node in &all {
        let ((shape, values), (other_shape, other)) = (probed(node), plan.probed(node, 1));
        assert_eq!(shape, other_shape);
        for (a, b) in values.iter().zip(&other) {
            assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{node}: {a} and {b}");
        }
    }
    let mut checked = 0;
    for (id, node) in graph.nodes().iter().enumerate().skip(1) {
        let input = |i: usize| probed(node.inputs[i]).1;
        let expected: Vec<f32> = match node.op {
            Op::Relu => input(0).iter().map(|x| x.max(0.0)).collect(),
            Op::Add => input(0).iter().zip(input(1)).map(|(a, b)| a + b).collect(),
            Op::GlobalAvgPool => {
                let (shape, values) = probed(node.inputs[0]);
                let mean = |c: usize| values[c..].iter().step_by(shape.channels).sum::<f32>();
                let pixels = (shape.height * shape.width) as f32;
                (0..shape.channels).map(|c| mean(c) / pixels).collect()
            }
            // Running statistics of a new network are 0 and 1, and its weights 1.
            Op::BatchNorm2d => {
                let bias = format!("{}.bias", node.name);
                let bias = net.params().iter().find(|p| p.name == bias).unwrap();
                let bias = &net.values()[bias.range.clone()];
                let scale = 1.0 / (1.0f32 + 1e-5).sqrt();
                let values = input(0);
                values.iter().enumerate().map(|(i, x)| x * scale + bias[i % bias.len()]).collect()
            }
            _ => continue,
        };
        checked += 1;
        for (a, b) in probed(id).1.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{}: {a} and {b}", node.name);
        }
    }
    assert_eq!(checked, 19 + 19 + 9 + 1, "batch norms, ReLUs, sums and the pool");
}

#[test]
fn a_network_without_a_pool_has_no_maps() {
    let mut graph = Graph::new(3);
    let x = graph.conv2d("conv1", Graph::INPUT, 8, 3, 1, 0);
    graph.linear("fc", x, 2);
    let net = Network::new(graph, Init::PyTorch, 0);
    let maps = ActivationMaps::new(&net, Dtype::Fp32, 1, 3, 3, &Cpu::new(1).unwrap());
    assert!(maps.unwrap_err().to_string().contains("fc: activation maps need a global pool"));
}
