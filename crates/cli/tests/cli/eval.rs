//! `resnet eval` on test images of another size than the network's.

use std::fs;

use resnet::{
    Arch, Cpu, Dtype, Network,
    data::{
        LoadOptions, load,
        photo::{CropMode, Interpolation, Photo},
    },
    engine::{EvalPlan, Input},
    model_file::{Model, SaveFormat},
    network::Init,
};
use serde_json::Value;

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

#[test]
fn test_time_augmentation_is_given_next_to_the_plain_accuracy() {
    let s = Sandbox::new();
    // Untrained, so that views disagree.
    let arch: Arch = "resnet8".parse().unwrap();
    let model = Model::new(arch, Network::new(arch.graph(10), Init::He, 3));
    model.save(&*s.path("random.safetensors"), SaveFormat::Safetensors).unwrap();
    let limits = LoadOptions { limit_train: Some(1), limit_test: Some(100), ..Default::default() };
    let data = load("synthetic", &limits).unwrap();

    // Row and column that each view's first pixel shows, whether it is mirrored, and its weight.
    let flip = [(0, false, 4.0), (0, true, 4.0)];
    let six = [
        (0, false, 2.0),
        (0, true, 2.0),
        (1, false, 1.0),
        (1, true, 1.0),
        (-1, false, 1.0),
        (-1, true, 1.0),
    ];
    let cpu = Cpu::new(1).unwrap();
    let mut plan = EvalPlan::new(model.network.graph(), Dtype::Fp32, 100, 32, 32, &cpu).unwrap();
    plan.load(&model.network);
    let inside = |i: i32| match i {
        -1 => 1,
        32 => 30,
        i => i,
    } as usize;
    let mut accuracy = |views: &[(i32, bool, f32)]| {
        let mut sums = vec![0.0; 1000];
        for &(by, mirrored, weight) in views {
            let mut pixels = Vec::new();
            for image in 0..100 {
                for (y, x) in (0..32).flat_map(|y| (0..32).map(move |x| (y, x))) {
                    let x = if mirrored { 31 - x } else { x };
                    let at = (inside(y + by) * 32 + inside(x + by)) * 3;
                    pixels.extend(&data.test.image(image)[at..at + 3]);
                }
            }
            let logits = plan.forward(Input::Bytes(&pixels, &data.normalisation), 100);
            sums.iter_mut().zip(logits).for_each(|(sum, x)| *sum += weight * x);
        }
        let correct = sums.chunks(10).zip(&data.test.labels).filter(|(logits, label)| {
            let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            logits[**label as usize] == best
        });
        correct.count() as f64
    };
    let plain = accuracy(&[(0, false, 8.0)]);
    let expected = [("flip", accuracy(&flip)), ("six", accuracy(&six))];
    assert!(expected.iter().any(|(_, accuracy)| *accuracy != plain), "{expected:?} {plain}");

    let eval = ["eval", "random.safetensors", "synthetic", "--limit-test", "100"];
    let json = |options: &[&str]| -> Value {
        let out = s.run(&[&eval, options, &["--json"]].concat()).success().stdout;
        let mut json: Value = serde_json::from_str(&out).unwrap();
        json["seconds"] = 0.into();
        json
    };
    let without = json(&[]);
    assert_eq!(without["accuracy"], plain);
    for (views, accuracy) in expected {
        let mut with = json(&["--tta", views]);
        assert_eq!(with["tta"]["views"], views);
        assert_eq!(with["tta"]["accuracy"], accuracy, "{views}");
        with.as_object_mut().unwrap().remove("tta");
        assert_eq!(with, without);
        let text = s.run(&[&eval, &["--tta", views][..]].concat()).success().stdout;
        let lines: Vec<_> = text.lines().skip(1).take(2).collect();
        assert_eq!(lines[0], format!("accuracy  {plain:.2}%"));
        assert_eq!(lines[1], format!("{:<10}{accuracy:.2}%", format!("TTA {views}")));
    }
}

#[test]
fn what_was_evaluated_is_named() {
    let s = Sandbox::new();
    let eval = ["eval", "demo", "synthetic", "--limit-test", "4"];
    let out = s.run(&eval).success();
    let first = out.stdout.lines().next().unwrap();
    assert_eq!(first, "demo (resnet20) on the test images of synthetic");
    let note = "its class 0 is 'airplane', and that of synthetic is 'disc'";
    assert!(out.stderr.contains(note), "{out:#?}");
    let json = &s.json(&[&eval[..], &["--json"]].concat())[0];
    for (key, value) in
        [("model", "demo"), ("arch", "resnet20"), ("data", "synthetic"), ("part", "test")]
    {
        assert_eq!(json[key], value);
    }
    fs::write(s.path("names"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    let named = s.run(&[&eval[..], &["--class-names", "names"]].concat()).success();
    assert_eq!(named.stderr, "");
}
