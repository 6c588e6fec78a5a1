use super::*;
use resnet_network::{Arch, network::Init};

#[test]
fn exempts_norm_and_bias_from_decay() {
    let graph = "resnet8".parse::<Arch>().unwrap().graph(10);
    let mut net = Network::new(graph, Init::PyTorch, 0);
    let before = net.clone();
    let config = SgdConfig {
        momentum: 0.0,
        weight_decay: 0.5,
        nesterov: false,
        decay_norm_and_bias: false,
        ..SgdConfig::default()
    };
    let zeros = vec![0.0; net.values().len()];
    let cpu = Cpu::new(1).unwrap();
    Optimizer::new(&net, config).step(&cpu, &mut net, &zeros, 1.0);
    for param in before.params() {
        let factor = if param.kind.is_weight() { 0.5 } else { 1.0 };
        for i in param.range.clone() {
            assert_eq!(net.values()[i], factor * before.values()[i], "{}", param.name);
        }
    }
}

/// Three steps with every factor, compared with `torch.optim.SGD` in f64 with a group per parameter.
#[test]
fn factors_are_those_of_pytorchs_param_groups() {
    let graph = "resnet8".parse::<Arch>().unwrap().graph(10);
    let mut net = Network::new(graph, Init::PyTorch, 0);
    let factors = |lr, weight_decay| Factors { lr, weight_decay };
    for (nesterov, decay_norm_and_bias) in [(true, true), (false, false)] {
        let config = OptimizerConfig::Sgd(SgdConfig {
            momentum: 0.875,
            weight_decay: 0.125,
            nesterov,
            decay_norm_and_bias,
            groups: GroupFactors {
                stem: factors(0.0, 7.0),
                norm_scale: factors(0.5, 2.0),
                norm_bias: factors(16.0, 0.0625),
                head: factors(0.25, 4.0),
            },
        });
        let (first, mut expected) = (net.clone(), Vec::new());
        let gradient = |step: usize, i: usize| ((step * 31 + i * 7) % 11) as f32 / 64.0;
        for param in net.params() {
            let (lr, decay, is_bias_or_norm) = match param.name.as_str() {
                "conv1.weight" => (0.0, 7.0, false),
                "linear.weight" => (0.25, 4.0, false),
                "linear.bias" => (0.25, 4.0, true),
                name if param.shape.len() == 4 => {
                    assert!(name.ends_with(".weight"));
                    (1.0, 1.0, false)
                }
                name if name.ends_with(".weight") => (0.5, 2.0, true),
                _ => (16.0, 0.0625, true),
            };
            let decay = if is_bias_or_norm && !decay_norm_and_bias { 0.0 } else { decay };
            for i in param.range.clone() {
                let (mut w, mut buffer) = (f64::from(net.values()[i]), 0.0);
                for step in 0..3 {
                    let g = f64::from(gradient(step, i)) + 0.125 * decay * w;
                    buffer = 0.875 * buffer + g;
                    w -= 0.01 * lr * if nesterov { g + 0.875 * buffer } else { buffer };
                }
                expected.push(w);
            }
        }
        let (cpu, mut sgd) = (Cpu::new(2).unwrap(), Optimizer::new(&net, config));
        for step in 0..3 {
            let mut gradients: Vec<f32> = (0..expected.len()).map(|i| gradient(step, i)).collect();
            // Those of the stem are not read.
            gradients[net.params()[0].range.clone()].fill(f32::NAN);
            sgd.step(&cpu, &mut net, &gradients, 0.01);
        }
        let stem = net.params()[0].range.clone();
        assert_eq!(net.values()[stem.clone()], first.values()[stem]);
        for param in net.params() {
            let frozen = config.is_frozen(net.graph(), param.node, param.kind);
            assert_eq!(frozen, param.name == "conv1.weight");
            for i in param.range.clone() {
                let (found, expected) = (f64::from(net.values()[i]), expected[i]);
                assert!((found - expected).abs() < 1e-6, "{}: {found} {expected}", param.name);
            }
        }
    }
}

/// Five steps of `torch.optim.AdamW` in f64 with a group per parameter, where some have no gradient in
/// the first two: PyTorch counts the steps of each parameter.
#[test]
fn adamw_counts_the_steps_of_each_parameter() {
    let graph = "resnet8".parse::<Arch>().unwrap().graph(10);
    let mut net = Network::new(graph, Init::PyTorch, 0);
    let adamw = AdamWConfig {
        betas: [0.75, 0.875],
        eps: 1e-3,
        weight_decay: 0.5,
        decay_norm_and_bias: false,
        groups: GroupFactors {
            head: Factors { lr: 4.0, weight_decay: 0.25 },
            ..GroupFactors::default()
        },
    };
    let late = |name: &str| name.starts_with("conv1") || name.starts_with("layer2");
    let gradient = |step: usize, i: usize| ((step * 31 + i * 7) % 11) as f32 / 64.0 - 0.05;
    let mut expected: Vec<f64> = Vec::new();
    for param in net.params() {
        let is_head = param.name.starts_with("linear");
        let (lr, decay) = if is_head { (0.04, 0.125) } else { (0.01, 0.5) };
        let decay = if param.kind.is_weight() { decay } else { 0.0 };
        let first = if late(&param.name) { 2 } else { 0 };
        for i in param.range.clone() {
            let (mut w, mut m, mut v) = (f64::from(net.values()[i]), 0.0, 0.0);
            for step in first..5 {
                let g = f64::from(gradient(step, i));
                w -= lr * decay * w;
                (m, v) = (0.75 * m + 0.25 * g, 0.875 * v + 0.125 * g * g);
                let [bias, bias_of_square] =
                    [0.75, 0.875f64].map(|beta| 1.0 - beta.powi((step - first + 1) as i32));
                w -= lr * (m / bias) / ((v / bias_of_square).sqrt() + 1e-3);
            }
            expected.push(w);
        }
    }
    let (cpu, mut optimizer) = (Cpu::new(2).unwrap(), Optimizer::new(&net, adamw));
    for step in 0..5 {
        let nodes: Vec<String> = net.graph().nodes().iter().map(|node| node.name.clone()).collect();
        optimizer.set_rates(&net, |node| if step < 2 && late(&nodes[node]) { 0.0 } else { 1.0 });
        let gradients: Vec<f32> = (0..expected.len()).map(|i| gradient(step, i)).collect();
        optimizer.step(&cpu, &mut net, &gradients, 0.01);
    }
    for (param, steps) in net.params().iter().zip(&optimizer.buffers.steps) {
        assert_eq!(*steps, if late(&param.name) { 3 } else { 5 });
        for i in param.range.clone() {
            let (found, expected) = (f64::from(net.values()[i]), expected[i]);
            assert!((found - expected).abs() < 1e-5, "{}: {found} {expected}", param.name);
        }
    }
}
