//! A mean image is subtracted pixel by pixel, and kept in files.

use std::io;

use resnet::{
    Arch, Cpu, Dtype, Network,
    engine::{EvalPlan, Input},
    model_file::{Model, SaveFormat},
    network::Init,
    preprocess::Normalisation,
};
use resnet_formats::safetensors;

use crate::common::{distance, logits};

const SIDE: usize = 32;
const VALUES: usize = SIDE * SIDE * 3;

fn byte(i: usize) -> u8 {
    (i * 2_654_435_761 % 256) as u8
}

/// A model whose mean image is of all values.
fn model() -> Model {
    let arch: Arch = "resnet8".parse().unwrap();
    let mut model = Model::new(arch, Network::new(arch.graph(10), Init::He, 3));
    let mean_image = (0..VALUES).map(|i| f32::from(byte(7 * i + 5)) / 255.0).collect();
    let normalisation = Normalisation::new(vec![0.9, 0.1, 0.5], vec![0.25, 0.2, 0.3]);
    model.normalisation = Some(Normalisation { mean_image: Some(mean_image), ..normalisation });
    model
}

#[test]
fn each_pixel_has_a_mean_of_its_own() {
    let (model, cpu) = (model(), Cpu::new(2).unwrap());
    let normalisation = model.normalisation.as_ref().unwrap();
    let bytes: Vec<u8> = (0..2 * VALUES).map(byte).collect();
    // torch: (images / 255 - mean_image) / std[:, None, None], [n][channels][height][width]
    let mean_image = normalisation.mean_image.as_ref().unwrap();
    let value = |image: usize, channel: usize, pixel: usize| {
        let at = pixel * 3 + channel;
        let value = f64::from(bytes[image * VALUES + at]) / 255.0 - f64::from(mean_image[at]);
        (value / f64::from(normalisation.std[channel])) as f32
    };
    let planes = (0..2).flat_map(|image| (0..3).map(move |channel| (image, channel)));
    let nchw: Vec<f32> = planes
        .flat_map(|(image, channel)| (0..SIDE * SIDE).map(move |pixel| (image, channel, pixel)))
        .map(|(image, channel, pixel)| value(image, channel, pixel))
        .collect();
    let expected = logits(&cpu, &model.network, [2, SIDE, SIDE], &nchw);
    let graph = model.network.graph();
    let mut plan = EvalPlan::new(graph, Dtype::Fp32, 2, SIDE, SIDE, &cpu).unwrap();
    plan.load(&model.network);
    // A plan without one before, and after, is not disturbed.
    let plain = Normalisation { mean_image: None, ..normalisation.clone() };
    let before = plan.forward(Input::Bytes(&bytes, &plain), 2).to_vec();
    let found = plan.forward(Input::Bytes(&bytes, normalisation), 2).to_vec();
    assert_eq!(plan.forward(Input::Bytes(&bytes, &plain), 2), before);
    assert!(distance(&found, &expected) < 1e-5, "{}", distance(&found, &expected));
    assert!(distance(&before, &expected) > 1e-2);
}

#[test]
fn files_keep_a_mean_image() {
    let (model, folder) = (model(), tempfile::tempdir().unwrap());
    for (name, format) in [
        ("net.safetensors", SaveFormat::Safetensors),
        ("net.tar", SaveFormat::Checkpoint),
        ("net.onnx", SaveFormat::Onnx { fold: false }),
        ("folded.onnx", SaveFormat::Onnx { fold: true }),
    ] {
        let path = folder.path().join(name);
        model.save(&*path, format).unwrap();
        assert_eq!(Model::load(&path, None).unwrap().normalisation, model.normalisation, "{name}");
    }
    let refused = model.save(&*folder.path().join("timm"), SaveFormat::Timm).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    assert!(!folder.path().join("timm").exists());

    // Programs of before would not subtract it: they refuse version 2.
    let version = |name: &str| {
        let file = safetensors::read(&folder.path().join(name)).unwrap();
        file.1["format_version"].clone()
    };
    assert_eq!(version("net.safetensors"), "2");
    let mut plain = model.clone();
    plain.normalisation = Some(Normalisation::cifar10());
    plain.save(&*folder.path().join("plain.safetensors"), SaveFormat::Safetensors).unwrap();
    assert_eq!(version("plain.safetensors"), "1");

    let mut other = model;
    other.image_size = 24;
    let path = folder.path().join("other.safetensors");
    other.save(&*path, SaveFormat::Safetensors).unwrap();
    let error = Model::load(&path, None).unwrap_err().to_string();
    assert!(error.contains("a mean image that is not 24x24 pixels"), "{error}");
}
