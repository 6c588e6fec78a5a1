//! Settings of recipes, compared with what they are meant to equal.

use resnet_engine::{
    Engine, EngineConfig, EvalPlan, Input, MicroBatch, Targets, TrainPlan,
    optim::{Average, Factors, GroupFactors, Optimizer, OptimizerBuffers, SgdConfig},
};
use resnet_kernels::{Cpu, Dtype};
use resnet_network::{Network, network::ParamKind};

use crate::graphs::{SIDES, labels, nets, noise};

const BATCH: usize = 5;

fn config(sgd: SgdConfig) -> EngineConfig {
    let [height, width] = SIDES;
    EngineConfig { batch: BATCH, height, width, optimizer: sgd.into(), ..EngineConfig::default() }
}

fn scale_head(net: &Network, values: &mut [f32], factor: f32) {
    for param in net.params() {
        if matches!(param.kind, ParamKind::LinearWeight | ParamKind::LinearBias) {
            values[param.range.clone()].iter_mut().for_each(|value| *value *= factor);
        }
    }
}

/// With logits `s (W x + b)`, the gradients of `W` and `b` are `s` times those of `sW` and `sb`. A
/// power of two changes no bit of a product, so that the two ways to train are equal in every bit.
#[test]
fn a_scaled_head_with_factors_is_a_scale_of_the_logits() {
    let (cpu, s) = (Cpu::new(2).unwrap(), 0.125);
    let plain =
        SgdConfig { momentum: 0.85, weight_decay: 0.01, nesterov: true, ..SgdConfig::default() };
    let head = Factors { lr: s * s, weight_decay: 1.0 / (s * s) };
    let factors = SgdConfig { groups: GroupFactors { head, ..GroupFactors::default() }, ..plain };
    for (name, net) in nets() {
        let labels = labels(BATCH);
        let targets = Targets::labels(&labels, 0.2);
        let mut scaled = net.clone();
        scaled.scale_head(s);
        let mut engine = Engine::new(scaled, &config(factors), &cpu).unwrap();

        // The reference trains `W`; its logits are those of a copy with `sW`.
        let (mut reference, mut sgd) = (net.clone(), Optimizer::new(&net, plain));
        let mut plan =
            TrainPlan::new(net.graph(), Dtype::Fp32, BATCH, SIDES[0], SIDES[1], &cpu).unwrap();
        let mut gradients = vec![0.0; net.values().len()];
        for step in 0..4 {
            let x = noise(BATCH, step);
            let micro_batch = MicroBatch::whole(Input::Nchw(&x), targets);
            engine.backward(micro_batch, &mut ()).unwrap();
            engine.apply(0.05).unwrap();

            scale_head(&net, reference.values_mut(), s);
            plan.step(&mut reference, &mut gradients, false, micro_batch, &mut ());
            scale_head(&net, reference.values_mut(), 1.0 / s);
            scale_head(&net, &mut gradients, s);
            sgd.step(&cpu, &mut reference, &gradients, 0.05);
        }
        let mut expected = reference.clone();
        scale_head(&net, expected.values_mut(), s);
        assert_eq!(engine.store().unwrap().0.values(), expected.values(), "{name}");
        assert_ne!(net.values(), reference.values());
    }
}

/// `running = (1 - m) running + m batch`, with what `m = 1` leaves for the batch's statistics.
#[test]
fn running_statistics_move_by_the_momentum() {
    let cpu = Cpu::new(2).unwrap();
    for (name, net) in nets() {
        let (x, labels) = (noise(BATCH, 1), labels(BATCH));
        let targets = Targets::labels(&labels, 0.0);
        let running = |batch_norm_momentum: f64| -> Vec<f64> {
            let config = EngineConfig { batch_norm_momentum, ..config(SgdConfig::default()) };
            let mut engine = Engine::new(net.clone(), &config, &cpu).unwrap();
            engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), &mut ()).unwrap();
            let trained = engine.store().unwrap().0;
            let norms = net.params().iter().filter(|param| param.kind == ParamKind::NormBias);
            norms
                .flat_map(|norm| {
                    let (mean, var) = trained.running(norm.node);
                    mean.iter().chain(var).map(|&value| f64::from(value)).collect::<Vec<_>>()
                })
                .collect()
        };
        let ([batch, usual], before) = ([1.0, 0.1].map(running), running(0.0));
        assert_eq!(running(EngineConfig::default().batch_norm_momentum), usual);
        for (m, found) in [(0.1, &usual), (0.4, &running(0.4))] {
            for ((found, before), batch) in found.iter().zip(&before).zip(&batch) {
                let expected = (1.0 - m) * before + m * batch;
                let error = (found - expected).abs();
                assert!(error <= 1e-6 * expected.abs().max(1.0), "{name}: {found}, {expected}");
            }
        }
    }
}

/// Parameters and running statistics.
fn all_values(net: &Network) -> Vec<f64> {
    net.values().iter().chain(net.running_values()).map(|&x| f64::from(x)).collect()
}

/// Ten steps compared with the formulas in f64.
#[test]
fn averages_follow_their_formulas() {
    let cpu = Cpu::new(2).unwrap();
    let sgd = SgdConfig { momentum: 0.9, ..SgdConfig::default() };
    for average in [
        Average::Ema { every: 2, decay: 0.75 },
        Average::Lookahead { every: 3, decay: 0.9, power: 2.0 },
    ] {
        let (name, net) = nets().remove(3);
        let with = EngineConfig { average: Some(average), ..config(sgd) };
        let mut engine = Engine::new(net.clone(), &with, &cpu).unwrap();
        let mut expected = all_values(&net);
        let labels = labels(BATCH);
        for step in 1..=10u64 {
            let x = noise(BATCH, step);
            let targets = Targets::labels(&labels, 0.0);
            engine.backward(MicroBatch::whole(Input::Nchw(&x), targets), &mut ()).unwrap();
            engine.apply(0.02).unwrap();
            let trained = all_values(engine.store().unwrap().0);
            let decay = match average {
                Average::Ema { .. } => (step % 2 == 0).then_some(0.75),
                Average::Lookahead { .. } => {
                    (step % 3 == 0).then(|| 0.729 * (step as f64 / 10.0).powi(2))
                }
            };
            let found = average.decay_after(step, 10);
            assert_eq!(found.is_some(), decay.is_some(), "{average:?}, step {step}");
            if let (Some(found), Some(decay)) = (found, decay) {
                assert!((found - decay).abs() < 1e-12, "{found}, {decay}");
                engine.update_average(found).unwrap();
                for (average, new) in expected.iter_mut().zip(&trained) {
                    *average = decay * *average + (1.0 - decay) * new;
                }
            }
            let moved = all_values(engine.average().unwrap().unwrap());
            for (found, expected) in moved.iter().zip(&expected) {
                let error = (found - expected).abs();
                assert!(error <= 1e-6 * expected.abs().max(1.0), "{name}: {found}, {expected}");
            }
            let now = all_values(engine.store().unwrap().0);
            if decay.is_some() && !average.is_ema() {
                assert_eq!(now, moved);
            } else {
                assert_eq!(now, trained);
            }
            // What is evaluated.
            let logits = engine.evaluate(Input::Nchw(&x), 1).unwrap().to_vec();
            let mut plan =
                EvalPlan::new(net.graph(), Dtype::Fp32, 1, SIDES[0], SIDES[1], &cpu).unwrap();
            plan.load(if average.is_ema() {
                engine.average().unwrap().unwrap()
            } else {
                engine.store().unwrap().0
            });
            assert_eq!(plan.forward(Input::Nchw(&x), 1), logits);
            let tracked = engine.evaluated().unwrap().batches_tracked();
            let last = if average.is_ema() { step / 2 * 2 } else { step };
            assert_eq!(tracked, Some(last as i64));
        }
        assert_ne!(all_values(engine.store().unwrap().0), expected);
        // A decay of 1 keeps the average, and takes lookahead's network to it.
        let before = all_values(engine.average().unwrap().unwrap());
        engine.update_average(1.0).unwrap();
        assert_eq!(all_values(engine.average().unwrap().unwrap()), before);
        assert_eq!(all_values(engine.store().unwrap().0) == before, !average.is_ema());
        // A new network starts its average.
        engine.load(net.clone(), OptimizerBuffers::new(&net, &sgd.into()));
        assert_eq!(all_values(engine.average().unwrap().unwrap()), all_values(&net));
    }
}
