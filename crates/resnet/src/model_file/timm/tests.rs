use super::*;

fn read(pretrained: &str) -> Result<Metadata, String> {
    let text = format!("{{\"pretrained_cfg\": {pretrained}}}");
    let config: Config = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    to_metadata(&config, None)
}

/// As `timm.data.resolve_data_config` fills in what a `config.json` leaves out.
#[test]
fn what_is_not_stated_is_timms_default() {
    let found = read("{}").unwrap();
    for (key, value) in [
        (key::IMAGE_SIZE, "224"),
        (key::RESIZE, "256"),
        (key::INTERPOLATION, "\"bicubic\""),
        (key::CROP_MODE, "\"center\""),
    ] {
        assert_eq!(found[key], value);
    }
    assert!(found[key::NORMALISATION].contains("0.485"));
    assert_eq!(read(r#"{"crop_pct": 0, "crop_mode": null}"#).unwrap(), found);
    let found = read(r#"{"interpolation": "lanczos", "crop_mode": "border", "crop_pct": 0.95}"#);
    let found = found.unwrap();
    assert_eq!((&*found[key::RESIZE], &*found[key::CROP_MODE]), ("235", "\"border\""));
    assert_eq!(found[key::INTERPOLATION], "\"lanczos\"");
}

/// `timm.models._hub._parse_model_cfg` reads the layout of early versions too.
#[test]
fn early_and_numbered_layouts_are_read() {
    let of = |text: &str| read_config(Path::new("config.json"), text);
    let flat = of(r#"{"architecture": "resnet18", "input_size": [3, 288, 288], "crop_pct": 0.95,
           "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
           "labels": ["a", "b"]}"#)
    .unwrap();
    for (key, value) in [
        (key::IMAGE_SIZE, "288"),
        (key::RESIZE, "303"),
        (key::INTERPOLATION, "\"bilinear\""),
        (key::CLASSES, "[\"a\",\"b\"]"),
    ] {
        assert_eq!(flat[key], value);
    }
    assert!(flat[key::NORMALISATION].contains("0.5"));
    let named = of(r#"{"pretrained_cfg": {}, "label_names": {"1": "b", "0": "a"}}"#).unwrap();
    assert_eq!(named[key::CLASSES], "[\"a\",\"b\"]");
    let gap = of(r#"{"pretrained_cfg": {}, "label_names": {"1": "b", "3": "a"}}"#).unwrap();
    assert!(!gap.contains_key(key::CLASSES));
}

#[test]
fn arguments_of_create_model_are_followed_or_refused() {
    let of = |args: &str| {
        let text = format!(r#"{{"architecture": "resnet18.a1_in1k", "model_args": {args}}}"#);
        read_config(Path::new("config.json"), &text)
    };
    for (args, arch) in [
        (r#"{"act_layer": "silu", "global_pool": "avg", "drop_rate": 0.1}"#, "resnet18+silu"),
        (r#"{"in_chans": 1, "act_layer": null, "output_stride": 32}"#, "resnet18"),
    ] {
        assert_eq!(of(args).unwrap()[key::ARCH], arch);
        arch.parse::<Arch>().unwrap();
    }
    for args in [
        r#"{"output_stride": 8}"#,
        r#"{"global_pool": "max"}"#,
        r#"{"act_layer": "mish"}"#,
        r#"{"aa_layer": "blurpool"}"#,
    ] {
        let error = of(args).unwrap_err().to_string();
        assert!(error.contains("model_args."), "{error}");
    }
}

#[test]
fn other_preprocessing_is_refused_by_name() {
    for (config, word) in [
        (r#"{"interpolation": "random"}"#, "`random`"),
        (r#"{"crop_mode": "rrc"}"#, "`rrc`"),
        (r#"{"input_size": [3, 224, 288]}"#, "input_size of 224x288"),
        (r#"{"crop_pct": 1.1}"#, "crop_pct of 1.1"),
    ] {
        let error = read(config).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_fraction_leads_back_to_the_length() {
    for side in 1..300 {
        for resize in side..600 {
            assert_eq!((side as f64 / crop_pct(side, resize)).floor(), resize as f64);
        }
    }
}

#[test]
fn other_architectures_are_refused_by_name() {
    for (name, own) in [
        ("resnet50", "resnet50"),
        ("resnet18.a1_in1k", "resnet18"),
        ("tv_resnet34", "resnet34"),
        ("gluon_resnet101_v1b", "resnet101"),
        ("gluon_resnet50_v1d", "resnet50d"),
        ("gluon_resnext50_32x4d", "resnext50_32x4d"),
        ("ig_resnext101_32x16d", "resnext101_32x16d"),
        ("swsl_resnet50", "resnet50"),
        ("resnet26.bt_in1k", "resnet26-bottleneck"),
        ("resnet50d.ra2_in1k", "resnet50d"),
        ("wide_resnet50_2.racm_in1k", "wide_resnet50_2"),
        ("ssl_resnext101_32x8d", "resnext101_32x8d"),
    ] {
        assert_eq!(own_name(name).as_deref(), Ok(own));
    }
    for name in
        ["resnetblur50", "resnetaa50.a1h_in1k", "resnet50c", "preresnet50", "gluon_resnet50_v1s"]
    {
        assert!(own_name(name).unwrap_err().contains(name), "{name}");
    }
}
