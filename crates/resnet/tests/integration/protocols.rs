//! Ten crops, several scales and ensembles give PyTorch's and torchvision's probabilities:
//! `protocols/make_protocols.py` made the files.

use std::path::{Path, PathBuf};

use resnet::{
    Cpu, Dtype,
    data::{CacheOptions, ImageSet, Images, PhotoOptions, PhotoSet, Photos, photo::Photo},
    evaluate::{
        EvaluateError, Probabilities, Protocol, ProtocolImages, class_order, evaluate_photos,
        probabilities,
    },
    model_file::Model,
    predictions::Predictions,
};
use serde_json::Value;

/// Largest difference of two probabilities.
const TOLERANCE: f64 = 1e-4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocols")
}

fn model(name: &str) -> Model {
    Model::load(&folder().join(name), None).unwrap()
}

/// The photos, prepared as a model says.
fn photos(model: &Model) -> Photos {
    let set = PhotoSet::open(&folder().join("photos"), None).unwrap();
    let preparation = model.preparation(model.normalisation.as_ref().unwrap()).unwrap();
    let options = PhotoOptions { workers: 2, cache: CacheOptions::None };
    Photos::new(set.train, preparation, options)
}

fn expected() -> Value {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Those of a protocol, with the classes in the order of the photos' folders.
fn of_protocol(model: &Model, protocol: &Protocol, threads: usize) -> Probabilities {
    let photos = photos(model);
    let (images, preparation) = (ImageSet::Photos(photos.clone()), photos.preparation());
    let normalisation = model.normalisation.as_ref().unwrap();
    let of = ProtocolImages { images: &images, preparation, normalisation };
    let mut last = 0;
    let mut progress = |done: usize| {
        assert!(done >= last);
        last = done;
    };
    let cpu = Cpu::new(threads).unwrap();
    let found = probabilities(model, Dtype::Fp32, protocol, of, &cpu, &mut progress).unwrap();
    assert_eq!(last, photos.len());
    in_order(model, found)
}

fn in_order(model: &Model, found: Probabilities) -> Probabilities {
    let names = ["ant", "bee", "cow"].map(str::to_owned);
    found.reordered(&class_order(&names, model.classes.as_deref(), 3).unwrap())
}

fn single_view(model: &Model) -> Probabilities {
    let (photos, mut logits) = (photos(model), Vec::new());
    let normalisation = model.normalisation.as_ref().unwrap();
    let cpu = Cpu::new(2).unwrap();
    let mut listen = |_: &[u32], batch: &[f32]| logits.extend_from_slice(batch);
    evaluate_photos(model, Dtype::Fp32, None, &photos, normalisation, &cpu, &mut listen).unwrap();
    in_order(model, Probabilities::of_logits(&Predictions::new(logits, 3)))
}

#[track_caller]
fn assert_close(found: &Probabilities, expected: &Value, what: &str) {
    let rows: Vec<Vec<f64>> = serde_json::from_value(expected[what].clone()).unwrap();
    for (image, row) in rows.iter().enumerate() {
        let found = found.of(image).unwrap();
        for (p, want) in found.iter().zip(row) {
            assert!((f64::from(*p) - want).abs() < TOLERANCE, "{what}: {found:?} for {row:?}");
        }
    }
}

#[test]
fn probabilities_equal_pytorchs() {
    let expected = expected();
    let scales = serde_json::from_value(expected["scales"].clone()).unwrap();
    let models = [("a", model("a.safetensors")), ("b", model("b.safetensors"))];
    let list = photos(&models[0].1).list().clone();
    let names: Vec<String> = (0..list.len()).map(|i| list.path(i).display().to_string()).collect();
    for (name, photo) in names.iter().zip(expected["photos"].as_array().unwrap()) {
        assert!(name.ends_with(&format!("{}.jpg", photo.as_str().unwrap())), "{names:?}");
    }
    let protocols = [
        ("single_view", None),
        ("ten_crop", Some(Protocol::TenCrop)),
        ("at_scales", Some(Protocol::Scales(scales))),
    ];
    for (view, protocol) in protocols {
        let of = |model: &Model| match &protocol {
            None => single_view(model),
            Some(protocol) => of_protocol(model, protocol, 2),
        };
        let found = models.each_ref().map(|(_, model)| of(model));
        for ((name, _), found) in models.iter().zip(&found) {
            assert_close(found, &expected[view], name);
        }
        assert_close(&Probabilities::mean(found).unwrap(), &expected[view], "ensemble");
    }
}

/// Neither on the number of threads nor on the other images.
#[test]
fn an_image_depends_on_nothing_else() {
    let model = model("a.safetensors");
    for protocol in [Protocol::TenCrop, Protocol::Scales(vec![45, 24])] {
        let all = of_protocol(&model, &protocol, 1);
        assert_eq!(all, of_protocol(&model, &protocol, 2));
        let one = photos(&model).first(1);
        let normalisation = model.normalisation.as_ref().unwrap();
        let preparation = one.preparation();
        let images = ImageSet::Photos(one);
        let of = ProtocolImages { images: &images, preparation, normalisation };
        let cpu = Cpu::new(2).unwrap();
        let one = probabilities(&model, Dtype::Fp32, &protocol, of, &cpu, &mut |_| {}).unwrap();
        assert_eq!(one.of(0), all.of(0));
    }
}

/// The same pixels give the same, whether they are in memory or on disk.
#[test]
fn images_in_memory_are_photos() {
    let model = model("a.safetensors");
    let square = Photo::read(&folder().join("photos/bee/square.jpg"), false).unwrap();
    let Photo { height, width, channels, pixels } = square;
    let images = ImageSet::Memory(Images { height, width, channels, pixels, labels: vec![1] });
    let normalisation = model.normalisation.as_ref().unwrap();
    let preparation = model.preparation(normalisation).unwrap();
    let of = ProtocolImages { images: &images, preparation, normalisation };
    let cpu = Cpu::new(2).unwrap();
    for protocol in [Protocol::TenCrop, Protocol::Scales(vec![32])] {
        let one = probabilities(&model, Dtype::Fp32, &protocol, of, &cpu, &mut |_| {}).unwrap();
        assert_eq!(one.of(0), of_protocol(&model, &protocol, 2).of(2), "{protocol:?}");
    }
    let preparation = resnet::data::photo::Preparation { resize: None, ..preparation };
    let of = ProtocolImages { preparation, ..of };
    let refused = probabilities(&model, Dtype::Fp32, &Protocol::TenCrop, of, &cpu, &mut |_| {});
    assert!(matches!(refused, Err(EvaluateError::NoRoom { image_size: 32 })));
}
