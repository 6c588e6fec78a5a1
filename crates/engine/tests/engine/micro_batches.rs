//! Micro-batches: gradients add up, and an empty one adds nothing.

use resnet_engine::{Engine, EngineConfig, Input, MicroBatch, Targets};
use resnet_kernels::{Cpu, Dtype};
use resnet_network::{Network, optim::SgdConfig};

use crate::graphs::{CHANNELS, SIDES, labels, nets, noise};

const BATCH: usize = 9;

fn engine(net: &Network, dtype: Dtype) -> Engine {
    let sgd = SgdConfig {
        momentum: 0.9,
        weight_decay: 1e-3,
        nesterov: false,
        decay_norm_and_bias: true,
        ..SgdConfig::default()
    };
    let [height, width] = SIDES;
    let config = EngineConfig {
        dtype,
        batch: BATCH,
        eval_batch: BATCH,
        height,
        width,
        optimizer: sgd.into(),
        ..EngineConfig::default()
    };
    Engine::new(net.clone(), &config, &Cpu::new(2).unwrap()).unwrap()
}

struct Batch {
    images: Vec<f32>,
    labels: Vec<u32>,
}

impl Batch {
    fn new() -> Self {
        Batch { images: noise(BATCH, 3), labels: labels(BATCH) }
    }

    /// The micro-batch of some of the images.
    fn micro_batch(&self, range: std::ops::Range<usize>) -> MicroBatch<'_> {
        let image = CHANNELS * SIDES[0] * SIDES[1];
        let images = &self.images[range.start * image..range.end * image];
        let targets = Targets::labels(&self.labels[range], 0.1);
        MicroBatch { input: Input::Nchw(images), targets, batch_size: BATCH, batch_weight: None }
    }
}

#[test]
fn gradients_of_micro_batches_add_up() {
    let batch = Batch::new();
    for ((name, net), dtype) in nets().into_iter().flat_map(|n| Dtype::ALL.map(|d| (n.clone(), d)))
    {
        let alone = [0..5, 5..9].map(|range| {
            let mut engine = engine(&net, dtype);
            let result = engine.backward(batch.micro_batch(range), &mut ()).unwrap();
            (result, engine.gradients().unwrap().to_vec())
        });
        let mut together = engine(&net, dtype);
        let results =
            [0..5, 5..5, 5..9].map(|r| together.backward(batch.micro_batch(r), &mut ()).unwrap());
        assert_eq!([results[0], results[2]], [alone[0].0, alone[1].0], "{name} {dtype}");
        assert_eq!((results[1].loss, results[1].correct), (0.0, 0), "{name} {dtype}");
        let sums: Vec<f32> = alone[0].1.iter().zip(&alone[1].1).map(|(a, b)| a + b).collect();
        assert!(sums.iter().any(|sum| *sum != 0.0));
        assert_eq!(together.gradients().unwrap(), sums, "{name} {dtype}");
        // The update begins a new batch.
        together.apply(0.0).unwrap();
        together.backward(batch.micro_batch(0..5), &mut ()).unwrap();
        assert_eq!(together.gradients().unwrap(), alone[0].1, "{name} {dtype}");
    }
}

#[test]
fn an_empty_batch_changes_nothing() {
    let batch = Batch::new();
    let (_, net) = nets().remove(0);
    let mut engine = engine(&net, Dtype::Fp32);
    engine.backward(batch.micro_batch(0..9), &mut ()).unwrap();
    engine.apply(0.0).unwrap();
    let before = engine.store().unwrap().0.state_dict();
    let result = engine.backward(batch.micro_batch(0..0), &mut ()).unwrap();
    assert_eq!((result.loss, result.correct), (0.0, 0));
    assert!(engine.gradients().unwrap().iter().all(|g| *g == 0.0));
    // Not even `num_batches_tracked`: no batch norm has seen a pixel.
    assert_eq!(engine.store().unwrap().0.state_dict(), before);
}

#[test]
#[should_panic(expected = "needs the gradients of a micro-batch")]
fn an_update_without_gradients_is_refused() {
    let (_, net) = nets().remove(0);
    engine(&net, Dtype::Fp32).apply(0.1).unwrap();
}

#[test]
fn a_stored_state_can_be_loaded() {
    let batch = Batch::new();
    let (_, net) = nets().remove(2);
    let mut engine = engine(&net, Dtype::Fp32);
    let step = |engine: &mut Engine| {
        engine.backward(batch.micro_batch(0..9), &mut ()).unwrap();
        engine.apply(0.05).unwrap();
    };
    step(&mut engine);
    let (network, buffers) = engine.store().unwrap();
    let (network, buffers) = (network.clone(), buffers.clone());
    let logits = engine.evaluate(batch.micro_batch(0..9).input, BATCH).unwrap().to_vec();
    step(&mut engine);
    let further = engine.store().unwrap().0.state_dict();
    assert_ne!(
        engine.evaluate(batch.micro_batch(0..9).input, BATCH).unwrap(),
        logits,
        "the network has moved"
    );
    // Gradients of an unfinished batch are dropped.
    engine.backward(batch.micro_batch(0..3), &mut ()).unwrap();
    engine.load(network, buffers);
    assert_eq!(engine.evaluate(batch.micro_batch(0..9).input, BATCH).unwrap(), logits);
    step(&mut engine);
    assert_eq!(engine.store().unwrap().0.state_dict(), further);
}
