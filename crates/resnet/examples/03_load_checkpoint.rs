//! Writes a network to a file, reads it back, and evaluates it.
//!
//! `cargo run --release -p resnet --example 03_load_checkpoint [-- FILE ARCH]`

use std::{env, path::PathBuf};

use resnet::{
    Arch, Cpu, Dtype, Network,
    data::{LoadOptions, load},
    evaluate::{EvaluateOptions, evaluate},
    model_file::{Model, SaveFormat},
    network::Init,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let (path, arch) = match (args.next(), args.next()) {
        (Some(path), arch) => (PathBuf::from(path), arch.map(|name| name.parse()).transpose()?),
        _ => {
            let arch: Arch = "resnet8".parse()?;
            let net = Network::new(arch.graph(10), Init::He, 0);
            let path = env::temp_dir().join("resnet8-untrained.safetensors");
            Model::new(arch, net).save(&path, SaveFormat::Safetensors)?;
            (path, None)
        }
    };

    // safetensors, PyTorch or ONNX. What network a file holds it says itself, or its tensors do.
    let model = Model::load(&path, arch)?;
    println!("{}: {}, {} classes", path.display(), model.arch, model.class_names().len());
    let limits = LoadOptions { limit_train: Some(1), limit_test: Some(500), ..Default::default() };
    let data = load("synthetic", &limits)?;
    let normalisation = model.normalisation.as_ref().unwrap_or(&data.normalisation);
    let cpu = Cpu::new(2)?;
    let options = EvaluateOptions { dtype: Dtype::Fp32, ..Default::default() };
    let result = evaluate(&model, &options, &data.test, normalisation, &cpu, &mut |_, _| {})?;
    println!("{result:#?}");
    Ok(())
}
