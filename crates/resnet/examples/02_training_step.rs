//! Twenty steps on one batch: the loss falls.
//!
//! `cargo run --release -p resnet --example 02_training_step`

use resnet::{
    Arch, Cpu, Dtype, Network,
    data::{LoadOptions, load},
    engine::{Engine, EngineConfig, Input, MicroBatch, Targets},
    network::Init,
    optim::SgdConfig,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const BATCH: usize = 32;
    let limits =
        LoadOptions { limit_train: Some(BATCH), limit_test: Some(1), ..Default::default() };
    let data = load("synthetic", &limits)?;

    let arch: Arch = "resnet20".parse()?;
    let net = Network::new(arch.graph(data.classes.len()), Init::He, 0);
    let cpu = Cpu::new(2)?;
    let dtype = Dtype::fastest(&cpu);
    let sgd = SgdConfig {
        momentum: 0.9,
        weight_decay: 1e-4,
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

    for step in 0..20 {
        let input = Input::Bytes(&data.train.pixels, &data.normalisation);
        let targets = Targets::labels(&data.train.labels, 0.0);
        let result = engine.backward(MicroBatch::whole(input, targets), &mut ())?;
        engine.apply(0.05)?;
        println!("step {step:2}: loss {:.4}, {} of {BATCH} right", result.loss, result.correct);
    }
    Ok(())
}
