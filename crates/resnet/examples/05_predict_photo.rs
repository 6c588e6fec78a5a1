//! Classifies a photo: the five most probable classes.
//!
//! `cargo run --release -p resnet --example 05_predict_photo [-- PHOTO MODEL]`

use std::{env, path::PathBuf};

use resnet::{
    Cpu, Dtype,
    data::photo,
    model_file::{DEMO, Model},
    predictor::{Computes, Predictor},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let files = [args.next().unwrap_or_else(|| {
        [env!("CARGO_MANIFEST_DIR"), "../data/tests/photos/exif-1.jpg"].iter().collect()
    })];
    // The demo network, or a file: safetensors, PyTorch or ONNX.
    let model = Model::load(&args.next().unwrap_or_else(|| DEMO.into()), None)?;

    // Resized, cropped and normalised as the network was trained.
    let predictor = Predictor::new(model, None, Dtype::Fp32, &Cpu::new(2)?)?;
    let pixels = photo::prepare(&files, predictor.preparation(), 1).remove(0)?;
    let mut plan = predictor.plan(Computes::Logits, 1)?;
    let predictions = plan.predict(predictor.input(&pixels), 1)?;

    println!("{}:", files[0].display());
    for (class, probability) in predictions.top(0, 5) {
        println!("{:6.2}%  {}", 100.0 * probability, predictor.classes()[class]);
    }
    Ok(())
}
