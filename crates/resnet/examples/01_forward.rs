//! Builds a network and classifies two images of noise.
//!
//! `cargo run --release -p resnet --example 01_forward`

use resnet::{
    Arch, Cpu, Dtype, Network,
    engine::{EvalPlan, Input},
    network::Init,
    random::{Purpose, Random},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arch: Arch = "resnet18-cifar".parse()?;
    let net = Network::new(arch.graph(10), Init::PyTorch, 0);
    println!("{arch}: {} parameters", net.values().len());

    // A plan is made once for a graph, a largest batch and an image size.
    let cpu = Cpu::new(2)?;
    let mut plan = EvalPlan::new(net.graph(), Dtype::Fp32, 2, 32, 32, &cpu)?;
    plan.load(&net);

    let mut random = Random::new(0, Purpose::Synthetic, &[]);
    let images: Vec<f32> = (0..2 * 3 * 32 * 32).map(|_| random.normal()).collect();
    let logits = plan.forward(Input::Nchw(&images), 2);
    for (image, logits) in logits.chunks(10).enumerate() {
        println!("image {image}: {logits:.3?}");
    }
    Ok(())
}
