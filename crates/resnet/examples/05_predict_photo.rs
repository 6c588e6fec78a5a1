//! Classifies a photo: the five most probable classes.
//!
//! `cargo run --release -p resnet --example 05_predict_photo [-- PHOTO MODEL]`

use std::{env, path::PathBuf};

use resnet::{
    Cpu, Dtype,
    data::photo,
    engine::{EvalPlan, Input},
    model_file::{DEMO, Model},
    predictions::Predictions,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let files = [args.next().unwrap_or_else(|| {
        [env!("CARGO_MANIFEST_DIR"), "../data/tests/photos/exif-1.jpg"].iter().collect()
    })];
    // The demo network, or a file: safetensors, PyTorch or ONNX.
    let model = Model::load(&args.next().unwrap_or_else(|| DEMO.into()), None)?;

    // Resized, cropped and normalised as the network was trained.
    let usual = || model.usual_normalisation().map(|(_, normalisation)| normalisation);
    let normalisation = model.normalisation.clone().or_else(usual).ok_or("no normalisation")?;
    let preparation = model.preparation(&normalisation);
    let preparation = preparation.ok_or("the network takes neither grey nor RGB images")?;
    let pixels = photo::prepare(&files, preparation, 1).remove(0)?;

    let (graph, side) = (model.network.graph(), model.image_size);
    let mut plan = EvalPlan::new(graph, Dtype::Fp32, 1, side, side, &Cpu::new(2)?)?;
    plan.load(&model.network);
    let logits = plan.forward(Input::Bytes(&pixels, &normalisation), 1).to_vec();

    let classes = model.class_names();
    println!("{}:", files[0].display());
    for (class, probability) in Predictions::new(logits, classes.len()).top(0, 5) {
        println!("{:6.2}%  {}", 100.0 * probability, classes[class]);
    }
    Ok(())
}
