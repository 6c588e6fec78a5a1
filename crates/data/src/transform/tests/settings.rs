//! Settings in text, and their checks.

use serde_json::{from_str, json, to_value};

use super::super::{
    affine::Sampling,
    mix::Mix,
    settings::{
        Affine, CenterCrop, ColorJitter, Crop, PcaNoise, Policy, RandAugment, RandomCrop,
        RandomErasing, RandomResizedCrop, Rotation, Shorter, Transform, TrivialAugmentWide,
    },
};

#[test]
fn only_what_differs_is_written() {
    assert_eq!(to_value(Transform::default()).unwrap(), json!({}));
    assert_eq!(from_str::<Transform>("{}").unwrap(), Transform::default());
    assert_eq!(to_value(Mix::default()).unwrap(), json!({}));
    let transform = Transform {
        crop: Crop::Center(CenterCrop { resize: Some(256) }),
        horizontal_flip: 0.0,
        rotation: Some(Rotation { degrees: 15.0, ..Rotation::default() }),
        policy: Some(Policy::TrivialAugmentWide(TrivialAugmentWide {
            interpolation: Sampling::Bilinear,
            ..TrivialAugmentWide::default()
        })),
        ..Transform::default()
    };
    let text = json!({
        "crop": {"center": {"resize": 256}},
        "horizontal_flip": 0.0,
        "rotation": {"degrees": 15.0},
        "policy": {"trivial_augment_wide": {"interpolation": "bilinear"}},
    });
    assert_eq!(to_value(&transform).unwrap(), text);
    assert_eq!(serde_json::from_value::<Transform>(text).unwrap(), transform);
    let whole = Transform { crop: Crop::Whole, ..Transform::default() };
    assert_eq!(to_value(whole).unwrap(), json!({"crop": "whole"}));
}

#[test]
fn the_papers_augmentation_is_text() {
    let text = json!({
        "crop": {"random": {"resize": [256, 480]}},
        "pca_noise": {"std": 0.1},
    });
    let resize = Some(Shorter::Between([256, 480]));
    let transform = Transform {
        crop: Crop::Random(RandomCrop { resize, padding: 0 }),
        pca_noise: Some(PcaNoise::default()),
        ..Transform::default()
    };
    assert_eq!(serde_json::from_value::<Transform>(text.clone()).unwrap(), transform);
    assert_eq!(to_value(&transform).unwrap(), text);
    transform.check().unwrap();
    let one = json!({"crop": {"random": {"resize": 256}}});
    let parsed = serde_json::from_value::<Transform>(one.clone()).unwrap();
    assert_eq!(to_value(parsed).unwrap(), one);
}

#[test]
fn unknown_fields_are_refused() {
    for (text, complaint) in [
        (r#"{"flip": 0.5}"#, "unknown field `flip`"),
        (r#"{"crop": {"random_resized": {"scales": [0, 1]}}}"#, "unknown field `scales`"),
        (r#"{"crop": "middle"}"#, "unknown variant `middle`"),
        (r#"{"policy": {"rand_augment": {"ops": 2}}}"#, "unknown field `ops`"),
        (r#"{"affine": {"interpolation": "bicubic"}}"#, "unknown variant `bicubic`"),
        (r#"{"rotation": {}}"#, "missing field `degrees`"),
    ] {
        let error = from_str::<Transform>(text).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
    assert!(from_str::<Mix>(r#"{"alpha": 1}"#).is_err());
}

#[test]
fn checks_name_the_field() {
    let with = |change: &dyn Fn(&mut Transform)| {
        let mut transform = Transform::default();
        change(&mut transform);
        transform.check().unwrap_err()
    };
    let resized = |scale, ratio| Crop::RandomResized(RandomResizedCrop { scale, ratio });
    let (scale, ratio) = ([0.1, 1.0], [0.5, 2.0]);
    let nan = f64::NAN;
    for (error, field) in [
        (with(&|t| t.horizontal_flip = -0.1), "horizontal_flip is -0.1"),
        (with(&|t| t.vertical_flip = nan), "vertical_flip is NaN"),
        (with(&|t| t.crop = resized([0.0, 1.0], ratio)), "crop.random_resized.scale is 0"),
        (with(&|t| t.crop = resized([0.5, 0.4], ratio)), "scale is [0.5, 0.4]"),
        (with(&|t| t.crop = resized(scale, [1.0, nan])), "crop.random_resized.ratio is NaN"),
        (
            with(&|t| {
                t.crop = Crop::Random(RandomCrop { resize: Some(Shorter::To(0)), padding: 0 })
            }),
            "crop.random.resize is 0",
        ),
        (
            with(&|t| {
                let resize = Some(Shorter::Between([480, 256]));
                t.crop = Crop::Random(RandomCrop { resize, padding: 0 });
            }),
            "crop.random.resize is [480, 256]",
        ),
        (
            with(&|t| {
                let resize = Some(Shorter::Between([0, 256]));
                t.crop = Crop::Random(RandomCrop { resize, padding: 0 });
            }),
            "crop.random.resize is 0",
        ),
        (
            with(&|t| t.pca_noise = Some(PcaNoise { std: -0.1, ..PcaNoise::default() })),
            "pca_noise.std is -0.1",
        ),
        (
            with(&|t| {
                let eigenvectors = [[nan; 3]; 3];
                t.pca_noise = Some(PcaNoise { eigenvectors, ..PcaNoise::default() });
            }),
            "pca_noise.eigenvectors is NaN",
        ),
        (
            with(&|t| t.crop = Crop::Random(RandomCrop { resize: None, padding: 1 << 17 })),
            "crop.random.padding is 131072",
        ),
        (
            with(&|t| t.crop = Crop::Center(CenterCrop { resize: Some(1 << 17) })),
            "crop.center.resize is 131072",
        ),
        (
            with(&|t| t.rotation = Some(Rotation { degrees: 400.0, ..Default::default() })),
            "rotation.degrees is 400",
        ),
        (
            with(&|t| t.affine = Some(Affine { degrees: -1.0, ..Affine::default() })),
            "affine.degrees is -1",
        ),
        (
            with(&|t| t.affine = Some(Affine { translate: [0.0, 1.5], ..Affine::default() })),
            "affine.translate is 1.5",
        ),
        (
            with(&|t| t.affine = Some(Affine { scale: [0.0, 1.0], ..Affine::default() })),
            "affine.scale is 0",
        ),
        (
            with(&|t| t.affine = Some(Affine { shear: [0.0, 90.0], ..Affine::default() })),
            "affine.shear is 90",
        ),
        (
            with(&|t| t.color_jitter = Some(ColorJitter { hue: 0.6, ..Default::default() })),
            "color_jitter.hue is 0.6",
        ),
        (
            with(&|t| t.color_jitter = Some(ColorJitter { contrast: -1.0, ..Default::default() })),
            "color_jitter.contrast is -1",
        ),
        (
            with(&|t| {
                let policy = RandAugment { num_ops: 0, ..RandAugment::default() };
                t.policy = Some(Policy::RandAugment(policy));
            }),
            "policy.rand_augment.num_ops is 0",
        ),
        (
            with(&|t| {
                let policy = RandAugment { magnitude: 31, ..RandAugment::default() };
                t.policy = Some(Policy::RandAugment(policy));
            }),
            "policy.rand_augment.magnitude is 31",
        ),
        (
            with(&|t| {
                let erasing = RandomErasing { probability: 2.0, ..RandomErasing::default() };
                t.random_erasing = Some(erasing);
            }),
            "random_erasing.probability is 2",
        ),
        (Mix { mixup: -1.0, cutmix: 0.0 }.check().unwrap_err(), "mixup is -1"),
        (Mix { mixup: 0.0, cutmix: nan }.check().unwrap_err(), "cutmix is NaN"),
    ] {
        assert!(error.contains(field), "{error}: {field}");
    }
    Transform::default().check().unwrap();
}
