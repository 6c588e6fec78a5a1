//! Ten steps of fine-tuning compared with PyTorch in f64: AdamW, clipping, rates by depth, averages, frozen
//! layers and class weights, on every instruction set, and bit-identical for one thread and two. The file is
//! made by `tests/golden/make_steps.py`.

use std::path::Path;

use resnet::{
    Arch, Cpu, Network,
    engine::{Engine, EngineConfig, Input, MicroBatch, Targets},
    graph::{NodeId, Op},
    network::Init,
    optim::{AdamWConfig, Average, OptimizerConfig, SgdConfig},
    recipe::Recipe,
};
use resnet_formats::{Data, NamedTensors, safetensors};
use resnet_kernels::Isa;

const STEPS: usize = 10;
const LR: f32 = 0.01;
/// Of AdamW.
const SMALL_LR: f32 = 0.002;
const WEIGHTS: [f32; 10] = [0.5, 2.0, 1.0, 0.25, 4.0, 1.0, 3.0, 0.75, 1.5, 1.0];
/// The largest difference of a value.
const TOLERANCE: f64 = 1e-4;

fn golden(name: &str) -> NamedTensors {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    safetensors::read(&folder.join(name)).unwrap().0
}

/// The tensors under a prefix, without it.
fn under(tensors: &NamedTensors, prefix: &str) -> NamedTensors {
    let cut =
        |(name, t): &(String, _)| Some((name.strip_prefix(prefix)?.to_owned(), Clone::clone(t)));
    tensors.iter().filter_map(cut).collect()
}

fn of<'t>(tensors: &'t NamedTensors, name: &str) -> &'t resnet_formats::Tensor {
    &tensors.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// How a case trains.
#[derive(Clone)]
struct Case {
    name: &'static str,
    optimizer: OptimizerConfig,
    lr: f32,
    clip: Option<f64>,
    average: Option<Average>,
    layer_decay: f64,
    /// Steps for which only the head trains.
    frozen_steps: usize,
    class_weights: Option<&'static [f32]>,
    smoothing: f32,
}

fn sgd(name: &'static str) -> Case {
    let sgd =
        SgdConfig { momentum: 0.9, weight_decay: 5e-4, nesterov: true, ..SgdConfig::default() };
    Case {
        name,
        optimizer: sgd.into(),
        lr: LR,
        clip: None,
        average: None,
        layer_decay: 1.0,
        frozen_steps: 0,
        class_weights: None,
        smoothing: 0.0,
    }
}

fn adamw(name: &'static str) -> Case {
    let adamw = AdamWConfig {
        betas: [0.9, 0.99],
        eps: 1e-4,
        weight_decay: 0.05,
        decay_norm_and_bias: false,
        ..AdamWConfig::default()
    };
    Case { optimizer: adamw.into(), lr: SMALL_LR, ..sgd(name) }
}

fn cases() -> [Case; 8] {
    let ema = Average::Ema { every: 1, decay: 0.75 };
    [
        adamw("adamw"),
        Case { clip: Some(1.35), ..sgd("clip") },
        Case { clip: Some(0.5), smoothing: 0.1, ..adamw("clip-adamw-smooth") },
        Case { layer_decay: 0.65, ..sgd("depth") },
        Case { average: Some(ema), ..sgd("ema") },
        Case { frozen_steps: STEPS, ..sgd("frozen") },
        Case { frozen_steps: 4, ..adamw("unfrozen") },
        Case { class_weights: Some(&WEIGHTS), smoothing: 0.1, ..sgd("weights") },
    ]
}

/// The losses and the network after ten steps.
fn train(case: &Case, golden: &NamedTensors, cpu: &Cpu) -> (Vec<f64>, Network) {
    let input = of(golden, "input");
    let [batch, channels, height, width] = input.shape[..] else { panic!("an NCHW input") };
    let Data::I64(target) = &of(golden, "target").data else { panic!("integer labels") };
    let labels: Vec<u32> = target.iter().map(|&label| label as u32).collect();
    let arch: Arch = "resnet8+gelu".parse().unwrap();
    let mut net = Network::new(arch.graph_with(channels, 10, 8), Init::PyTorch, 0);
    net.load_state_dict(&under(golden, "init.")).unwrap();

    let config = EngineConfig {
        batch,
        height,
        width,
        optimizer: case.optimizer,
        average: case.average,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(net.clone(), &config, cpu).unwrap();
    let nodes = net.graph().nodes();
    let backbone: Vec<NodeId> = (0..nodes.len()).filter(|&id| nodes[id].op != Op::Linear).collect();
    let norms: Vec<NodeId> =
        backbone.iter().copied().filter(|&id| nodes[id].op == Op::BatchNorm2d).collect();
    let mut recipe = Recipe::named("walkthrough", arch).unwrap();
    recipe.layer_decay = case.layer_decay;
    let depth = recipe.depth_factors(net.graph());
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let is_frozen = step < case.frozen_steps;
        let (frozen, eval) =
            if is_frozen { (&backbone[..], &norms[..]) } else { (&[][..], &[][..]) };
        engine.replan(height, width, frozen, eval).unwrap();
        let rate = |node: NodeId| if frozen.contains(&node) { 0.0 } else { depth[node] };
        engine.set_rates(rate);
        let targets =
            Targets::labels(&labels, case.smoothing).with_class_weights(case.class_weights);
        let images = Input::Nchw(input.as_f32().unwrap());
        losses.push(engine.backward(MicroBatch::whole(images, targets), &mut ()).unwrap().loss);
        if let Some(norm) = case.clip {
            engine.clip_grad_norm(norm).unwrap();
        }
        engine.apply(case.lr).unwrap();
        if case.average.is_some() {
            engine.update_average(0.75).unwrap();
        }
    }
    (losses, engine.evaluated().unwrap().clone())
}

/// The largest difference of two tensors' values; integers must be equal.
fn farthest(found: &NamedTensors, expected: &NamedTensors) -> f64 {
    let mut worst: f64 = 0.0;
    for (name, found) in found {
        let expected = of(expected, name);
        assert_eq!(found.shape, expected.shape, "{name}");
        match (&found.data, &expected.data) {
            (Data::F32(found), Data::F32(expected)) => {
                for (found, expected) in found.iter().zip(expected) {
                    worst = worst.max(f64::from(found - expected).abs());
                }
            }
            (found, expected) => assert_eq!(found, expected, "{name}"),
        }
    }
    worst
}

#[test]
fn ten_steps_are_pytorchs() {
    let (start, steps) = (golden("resnet8-gelu-w8.safetensors"), golden("steps.safetensors"));
    for case in cases() {
        let expected = under(&steps, &format!("{}.", case.name));
        let expected_losses = of(&expected, "losses").as_f32().unwrap();
        for isa in Isa::to_test() {
            let (losses, net) = train(&case, &start, &Cpu::with_isa(2, isa).unwrap());
            let pairs = losses.iter().zip(expected_losses);
            let worst_loss = pairs.map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
            let worst = farthest(&net.state_dict(), &expected);
            println!("{} {isa}: state {worst:.1e}, losses {worst_loss:.1e}", case.name);
            assert!(worst < TOLERANCE && worst_loss < TOLERANCE, "{} {isa}", case.name);
        }
        // Neither the start nor another case.
        let mut before = under(&start, "init.");
        before.retain(|(_, tensor)| tensor.as_f32().is_some());
        let moved = farthest(&before, &expected);
        assert!(moved > 10.0 * TOLERANCE, "{}: {moved:.1e}", case.name);
    }
}

#[test]
fn threads_change_no_bit() {
    let start = golden("resnet8-gelu-w8.safetensors");
    for case in cases() {
        let of = |threads| {
            let (losses, net) = train(&case, &start, &Cpu::new(threads).unwrap());
            (losses, net.values().to_vec(), net.running_values().to_vec())
        };
        assert!(of(1) == of(2), "{}", case.name);
    }
}
