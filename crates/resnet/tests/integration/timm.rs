//! timm loads a folder that is written for it.
//!
//! Where `RESNET_PYTHON` (or else `python3`) has no timm, this says so and is skipped.

use std::path::Path;

use crate::common::{distance, logits, python, read_floats, run, write_floats};
use resnet::{
    Arch, Cpu, Network,
    data::Normalisation,
    model_file::{Model, SaveFormat},
    network::Init,
};
use serde_json::{Value, json};

#[test]
fn timm_loads_a_folder() {
    let Some(python) = python("torch, numpy, timm") else { return };
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let arch: Arch = "resnet18".parse().unwrap();
    let mut model = Model::new(arch, Network::new(arch.graph(7), Init::PyTorch, 1));
    model.classes = Some((0..7).map(|class| format!("class {class}")).collect());
    (model.image_size, model.resize) = (224, Some(256));
    let [mean, std] = [[0.5, 0.25, 0.125], [0.2, 0.3, 0.4]].map(Vec::from);
    model.normalisation = Some(Normalisation::new(mean, std));
    model.save(&place("folder"), SaveFormat::Timm).unwrap();
    let images: Vec<f32> = (0..2 * 3 * 64 * 64).map(|i| (i as f32).sin()).collect();
    write_floats(&place("input"), &images);
    let (folder, input, output) = (place("folder"), place("input"), place("output"));
    let args: [&Path; 3] = [&folder, &input, &output];
    let found = run(python, "timm_folder.py", &args, &Value::Null);
    let ours = logits(&Cpu::new(2).unwrap(), &model.network, [2, 64, 64], &images);
    let error = distance(&ours, &read_floats(&output));
    println!("timm: {error:.1e}");
    assert!(error < 1e-4, "{error:.1e}");
    assert_eq!(found["input_size"], json!([3, 224, 224]));
    assert_eq!((&found["crop_pct"], &found["interpolation"]), (&json!(0.875), &json!("bilinear")));
    assert_eq!(found["mean"], json!([0.5, 0.25, 0.125]));
    assert_eq!(found["std"], json!([0.2, 0.3, 0.4]));
}
