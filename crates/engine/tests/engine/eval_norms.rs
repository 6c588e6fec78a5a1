//! Batch norms that use their running statistics in training: layers that are frozen for fine-tuning.

use resnet_engine::{
    Engine, EngineConfig, Input, MicroBatch, Targets,
    interpret::Interpreter,
    lower::{Lowering, training},
    optim::{AdamWConfig, OptimizerConfig, SgdConfig},
};
use resnet_kernels::{Cpu, Dtype};
use resnet_network::{
    Network,
    graph::{NodeId, Op},
};

use crate::graphs::{SIDES, distance, labels, nets, noise};

const BATCH: usize = 5;

fn engine(net: &Network, dtype: Dtype, optimizer: OptimizerConfig) -> Engine {
    let [height, width] = SIDES;
    let config =
        EngineConfig { dtype, batch: BATCH, height, width, optimizer, ..EngineConfig::default() };
    Engine::new(net.clone(), &config, &Cpu::new(2).unwrap()).unwrap()
}

/// The nodes before one, and the batch norms among them.
fn before(net: &Network, end: NodeId) -> (Vec<NodeId>, Vec<NodeId>) {
    let nodes = net.graph().nodes();
    let is_norm = |&id: &NodeId| nodes[id].op == Op::BatchNorm2d;
    ((0..end).collect(), (0..end).filter(is_norm).collect())
}

/// After a step, so that running statistics are not those of the start.
fn started(net: &Network) -> Network {
    let mut engine = engine(net, Dtype::Fp32, SgdConfig::default().into());
    step(&mut engine, 0);
    engine.store().unwrap().0.clone()
}

fn step(engine: &mut Engine, step: u64) {
    let (x, labels) = (noise(BATCH, step), labels(BATCH));
    let targets = Targets::labels(&labels, 0.1);
    engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), &mut ()).unwrap();
    engine.clip_grad_norm(0.5).unwrap();
    engine.apply(0.02).unwrap();
}

/// A frozen backbone trains the head as one that is computed whole, at a rate of 0.
#[test]
fn frozen_layers_are_those_of_rate_0() {
    let sgd =
        SgdConfig { momentum: 0.9, weight_decay: 1e-3, nesterov: true, ..SgdConfig::default() };
    for (name, net) in nets() {
        let net = started(&net);
        let head = net.graph().nodes().len() - 1;
        for (dtype, optimizer) in [
            (Dtype::Fp32, OptimizerConfig::Sgd(sgd)),
            (Dtype::Fp32, AdamWConfig::default().into()),
            (Dtype::Bf16, sgd.into()),
        ] {
            let (backbone, norms) = before(&net, head);
            let train = |frozen: &[NodeId]| {
                let mut engine = engine(&net, dtype, optimizer);
                engine.set_rates(|node| if node == head { 1.0 } else { 0.0 });
                engine.replan(SIDES[0], SIDES[1], frozen, &norms).unwrap();
                let operations = engine.plan_summary().unwrap().operations.len();
                (0..4).for_each(|i| step(&mut engine, i));
                let (trained, buffers) = engine.store().unwrap();
                (trained.clone(), buffers.clone(), operations)
            };
            let (whole, frozen) = (train(&[]), train(&backbone));
            assert!(frozen.0.values() == whole.0.values(), "{name} {dtype}");
            assert!(frozen.1 == whole.1, "{name} {dtype}");
            assert!(frozen.2 < whole.2, "{name}: less to compute");
            // Nothing but the head has changed.
            assert_eq!(frozen.0.running_values(), net.running_values(), "{name}");
            for param in net.params() {
                let range = param.range.clone();
                let same = frozen.0.values()[range.clone()] == net.values()[range];
                assert_eq!(same, param.node != head, "{name} {}", param.name);
            }
        }
    }
}

/// The head trains on features that were computed once as on their images, and is evaluated alike.
#[test]
fn features_take_the_place_of_images() {
    let sgd = SgdConfig { momentum: 0.9, weight_decay: 1e-3, ..SgdConfig::default() };
    for (name, net) in nets() {
        let net = started(&net);
        let head = net.graph().nodes().len() - 1;
        let (backbone, norms) = before(&net, head);
        let one = noise(BATCH, 0).len() / BATCH;
        for dtype in Dtype::ALL {
            let frozen = || {
                let mut engine = engine(&net, dtype, sgd.into());
                engine.set_rates(|node| if node == head { 1.0 } else { 0.0 });
                engine.replan(SIDES[0], SIDES[1], &backbone, &norms).unwrap();
                engine
            };
            let batches: Vec<Vec<f32>> = (0..3).map(|i| noise(BATCH, i)).collect();
            let labels = labels(BATCH);
            let (mut whole, mut kept) = (frozen(), frozen());
            let features: Vec<_> =
                batches.iter().map(|x| kept.features(Input::Nchw(x), BATCH).unwrap()).collect();
            let evaluated: Vec<_> = batches
                .iter()
                .map(|x| kept.evaluated_features(Input::Nchw(x), BATCH).unwrap())
                .collect();
            for (x, features) in batches.iter().zip(&features) {
                let targets = Targets::labels(&labels, 0.1);
                let step = |engine: &mut Engine, input| {
                    let result =
                        engine.backward(MicroBatch::whole(input, targets), &mut ()).unwrap();
                    engine.apply(0.1).unwrap();
                    result
                };
                let of_images = step(&mut whole, Input::Nchw(x));
                assert_eq!(of_images, step(&mut kept, Input::Features(features)), "{name} {dtype}");
            }
            assert!(
                kept.store().unwrap().0.values() == whole.store().unwrap().0.values(),
                "{name} {dtype}"
            );
            assert_ne!(kept.store().unwrap().0.values(), net.values());
            for (x, features) in batches.iter().zip(&evaluated) {
                let logits = kept.evaluate(Input::Features(features), 1).unwrap().to_vec();
                assert_eq!(whole.evaluate(Input::Nchw(x), 1).unwrap(), logits, "{name} {dtype}");
            }
            if dtype == Dtype::Fp32 {
                // Each image on its own.
                let images = batches[0].chunks(one).zip(features[0].chunks(kept.features_len()));
                for (image, features) in images {
                    assert_eq!(kept.features(Input::Nchw(image), 1).unwrap(), features, "{name}");
                }
            }
        }
    }
}

/// The gradients before and behind batch norms with running statistics, compared with the interpreter in f64.
#[test]
fn gradients_pass_through_running_statistics() {
    for (name, net) in nets() {
        let net = started(&net);
        let graph = net.graph();
        let (_, all) = before(&net, graph.nodes().len());
        // All of them, and every other one.
        for eval in [all.clone(), all.into_iter().step_by(2).collect()] {
            let mut engine = engine(&net, Dtype::Fp32, SgdConfig::default().into());
            engine.replan(SIDES[0], SIDES[1], &[], &eval).unwrap();
            let (x, labels) = (noise(BATCH, 7), labels(BATCH));
            let targets = Targets::labels(&labels, 0.1);
            let result =
                engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), &mut ()).unwrap();
            let lowering = Lowering {
                graph,
                dtype: Dtype::Fp32,
                batch: BATCH,
                height: SIDES[0],
                width: SIDES[1],
                frozen: &[],
                eval: &eval,
            };
            let program = training(lowering, &mut |_| false).unwrap();
            let mut reference = Interpreter::new(&program);
            reference.run(&net, &x, [BATCH; 2], Some(targets));
            assert!((result.loss - reference.loss).abs() < 1e-4, "{name}");
            for param in net.params() {
                let range = param.range.clone();
                let gradient = &engine.gradients().unwrap()[range.clone()];
                let error = distance(gradient, &reference.d_parameters[range]);
                // A change in rounding can flip a ReLU near 0: see ARCHITECTURE.md.
                assert!(error < 5e-2, "{name} {}: {error:.1e}", param.name);
            }
            for (norm, moved) in &reference.running {
                let (mean, var) = engine.store().unwrap().0.running(*norm);
                for (found, expected) in [mean, var].into_iter().zip(moved) {
                    let error = distance(found, expected);
                    assert!(error < 1e-4, "{name}: {error:.1e}");
                }
                let stays = engine.store().unwrap().0.running(*norm) == net.running(*norm);
                assert_eq!(stays, eval.contains(norm), "{name}");
            }
        }
    }
}
