//! Defines a network of two residual blocks after a small stem, and trains it for three epochs.
//!
//! `cargo run --release -p resnet --example 04_own_net`

use std::sync::Arc;

use resnet::{
    Cpu, Dtype, Graph, Network,
    data::{Augment, LoadOptions, Loader, load},
    engine::{Engine, EngineConfig, Input, MicroBatch, Targets},
    graph::NodeId,
    network::Init,
    optim::SgdConfig,
};

/// `relu(bn(conv(relu(bn(conv(x))))) + x)`.
fn block(g: &mut Graph, name: &str, x: NodeId) -> NodeId {
    let channels = g.nodes()[x].channels;
    let mut y = x;
    for i in 1..=2 {
        y = g.conv2d(format!("{name}.conv{i}"), y, channels, 3, 1, 1);
        y = g.batch_norm2d(format!("{name}.bn{i}"), y);
        if i == 1 {
            y = g.relu(format!("{name}.relu1"), y);
        }
    }
    let y = g.add(format!("{name}.add"), y, x);
    g.relu(format!("{name}.relu2"), y)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const BATCH: usize = 64;
    let limits = LoadOptions { limit_train: Some(3200), limit_test: Some(1), ..Default::default() };
    let data = load("synthetic", &limits)?;

    let mut g = Graph::new(3);
    let x = g.conv2d("stem.conv", Graph::INPUT, 32, 5, 2, 2);
    let x = g.batch_norm2d("stem.bn", x);
    let x = g.relu("stem.relu", x);
    let x = block(&mut g, "block1", x);
    let x = g.max_pool2d("pool", x, 2, 2, 0);
    let x = block(&mut g, "block2", x);
    let x = g.global_avg_pool("avgpool", x);
    g.linear("head", x, data.classes.len());

    let net = Network::new(g, Init::He, 0);
    println!("{} parameters, first {}", net.values().len(), net.params()[0].name);
    let cpu = Cpu::new(2)?;
    let dtype = Dtype::fastest(&cpu);
    let sgd = SgdConfig {
        momentum: 0.9,
        weight_decay: 5e-4,
        nesterov: true,
        decay_norm_and_bias: false,
        ..SgdConfig::default()
    };
    let config = EngineConfig {
        dtype,
        batch: BATCH,
        eval_batch: BATCH,
        height: 32,
        width: 32,
        optimizer: sgd.into(),
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(net, &config, &cpu)?;
    let loader = Loader::new(Arc::new(data.train), BATCH, Augment::default(), 0);
    for epoch in 1..=3 {
        let (mut loss, mut correct, mut images) = (0.0, 0, 0);
        for batch in loader.epoch(epoch, 0)? {
            let input = Input::Bytes(&batch.pixels, &data.normalisation);
            let targets = Targets::labels(&batch.labels, 0.0);
            let result = engine.backward(MicroBatch::whole(input, targets), &mut ())?;
            engine.apply(0.1)?;
            loss += result.loss * batch.labels.len() as f64;
            correct += result.correct;
            images += batch.labels.len();
        }
        let accuracy = 100.0 * correct as f64 / images as f64;
        println!("epoch {epoch}: loss {:.4}, accuracy {accuracy:.1}%", loss / images as f64);
    }
    Ok(())
}
