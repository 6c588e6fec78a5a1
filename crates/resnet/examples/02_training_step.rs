//! Twenty steps on one batch: the loss falls.
//!
//! `cargo run --release -p resnet --example 02_training_step`

use resnet::{
    Arch, Cpu, Network,
    data::{LoadOptions, load},
    network::Init,
    optim::{Sgd, SgdConfig},
    plan::{Input, TrainPlan},
    recipe::Dtype,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const BATCH: usize = 32;
    let limits =
        LoadOptions { limit_train: Some(BATCH), limit_test: Some(1), ..Default::default() };
    let data = load("synthetic", &limits)?;

    let arch: Arch = "resnet20".parse()?;
    let mut net = Network::new(arch.graph(data.classes.len()), Init::He, 0);
    let cpu = Cpu::new(2)?;
    let dtype = Dtype::fastest(&cpu);
    let mut plan = TrainPlan::new(net.graph(), dtype, BATCH, 32, 32, &cpu)?;
    let config =
        SgdConfig { momentum: 0.9, weight_decay: 1e-4, nesterov: true, decay_norm_and_bias: false };
    let mut sgd = Sgd::new(&net, config);
    let mut gradients = vec![0.0; net.values().len()];

    for step in 0..20 {
        let input = Input::Bytes(&data.train.pixels, &data.normalisation);
        let result = plan.step(&mut net, &mut gradients, input, &data.train.labels, 0.0);
        sgd.step(&cpu, &mut net, &gradients, 0.05);
        println!("step {step:2}: loss {:.4}, {} of {BATCH} right", result.loss, result.correct);
    }
    Ok(())
}
