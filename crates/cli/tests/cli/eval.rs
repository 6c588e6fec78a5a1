//! `resnet eval` on test images of another size than the network's.

use std::fs;

use resnet::{
    Cpu, Dtype,
    data::{
        LoadOptions, load,
        photo::{CropMode, Interpolation, Photo},
    },
    engine::{EvalPlan, Input},
    model_file::{Model, SaveFormat},
};

use crate::common::Sandbox;

const IMAGES: usize = 5;

/// The logits that `eval` writes, and what it says.
fn logits(s: &Sandbox, model: &str, options: &[&str]) -> (Vec<f32>, String) {
    let limit = IMAGES.to_string();
    let args = ["eval", model, "synthetic", "--limit-test", &limit, "--logits", "logits.npy"];
    let said = s.run(&[&args, options].concat()).success().stderr;
    let npy = fs::read(s.path("logits.npy")).unwrap();
    let values = npy[npy.len() - 4 * 10 * IMAGES..].as_chunks().0;
    (values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(), said)
}

/// The logits of images that are prepared one by one, as photos are.
fn expected(model: &Model) -> Vec<f32> {
    let limits =
        LoadOptions { limit_train: Some(1), limit_test: Some(IMAGES), ..Default::default() };
    let images = load("synthetic", &limits).unwrap().test;
    let normalisation = model.normalisation.as_ref().unwrap();
    let preparation = model.preparation(normalisation).unwrap();
    let of = |index| {
        let pixels = images.image(index).to_vec();
        Photo { height: 32, width: 32, channels: 3, pixels }.prepare(preparation).unwrap()
    };
    let pixels: Vec<u8> = (0..IMAGES).flat_map(of).collect();
    let (graph, side) = (model.network.graph(), model.image_size);
    let cpu = Cpu::new(1).unwrap();
    let mut plan = EvalPlan::new(graph, Dtype::Fp32, IMAGES, side, side, &cpu).unwrap();
    plan.load(&model.network);
    plan.forward(Input::Bytes(&pixels, normalisation), IMAGES).to_vec()
}

#[test]
fn test_images_are_resized_as_options_and_file_say() {
    let s = Sandbox::new();
    let mut model = Model::demo();
    model.save(&*s.path("usual.safetensors"), SaveFormat::Safetensors).unwrap();
    let (usual, said) = logits(&s, "usual.safetensors", &[]);
    assert_eq!(usual, expected(&model));
    assert!(!said.contains("resized"), "{said}");

    (model.image_size, model.resize) = (24, Some(28));
    model.interpolation = Interpolation::Bicubic;
    model.save(&*s.path("small.safetensors"), SaveFormat::Safetensors).unwrap();
    let (stated, said) = logits(&s, "small.safetensors", &[]);
    assert_eq!(stated, expected(&model));
    assert!(said.contains("small.safetensors states images of 24x24 pixels"), "{said}");
    let options = ["--resize", "28", "--crop", "24", "--interpolation", "bicubic"];
    assert_eq!(logits(&s, "usual.safetensors", &options).0, stated);
    let as_they_are = ["--resize", "32", "--crop", "32"];
    assert_eq!(logits(&s, "small.safetensors", &as_they_are).0, usual);

    model.crop_mode = CropMode::Squash;
    (model.image_size, model.resize) = (40, Some(40));
    model.interpolation = Interpolation::Nearest;
    let options = ["--image-size", "40", "--interpolation", "nearest"];
    assert_eq!(logits(&s, "usual.safetensors", &options).0, expected(&model));
}
