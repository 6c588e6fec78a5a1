//! Runs that start from the weights of another one.

use std::{fs, path::Path};

use resnet::{
    config::TrainConfig,
    run::{LAST, RunFolder},
};
use resnet_formats::{Data, safetensors};

use crate::common::{
    outcome::{bits, failure, run, uninterrupted},
    small_run::{config, dataset},
};

#[test]
fn a_run_may_start_from_another_ones_weights() {
    let runs = tempfile::tempdir().unwrap();
    let first = runs.path().join("first");
    uninterrupted(first.clone());
    let mut config = config();
    config.init_from = Some(first.join(LAST));
    config.recipe.lr = 0.0;
    *config.recipe.optimizer.weight_decay_mut() = 0.0;
    let folder = runs.path().join("second");
    run(&RunFolder::create(&folder, &config).unwrap(), 2, |_| false);
    let weights = |path: &Path| {
        let (tensors, _) = safetensors::read(path).unwrap();
        let weight = |name: &str| name.ends_with("weight") && !name.starts_with("optimizer");
        bits(tensors).into_iter().filter(|(name, ..)| weight(name)).collect::<Vec<_>>()
    };
    assert_eq!(weights(&folder.join(LAST)), weights(&first.join(LAST)));

    // Once it has begun, it does without them.
    fs::remove_dir_all(&first).unwrap();
    run(&RunFolder::resume(&folder).unwrap(), 2, |_| false);
}

#[test]
fn initial_weights_must_be_finite() {
    let runs = tempfile::tempdir().unwrap();
    let first = runs.path().join("first");
    uninterrupted(first.clone());
    let (mut tensors, metadata) = safetensors::read(&first.join(LAST)).unwrap();
    let weight = tensors.iter_mut().find(|(name, _)| name == "layer1.0.conv1.weight").unwrap();
    match &mut weight.1.data {
        Data::F32(values) => values[7] = f32::NAN,
        Data::I64(_) => panic!("a weight"),
    }
    let file = runs.path().join("nan.safetensors");
    safetensors::write(&file, &tensors, &metadata).unwrap();
    let config = TrainConfig { init_from: Some(file), ..config() };
    let folder = runs.path().join("second");
    let error = failure(&RunFolder::create(&folder, &config).unwrap(), dataset());
    let start = "nan.safetensors: tensor 'layer1.0.conv1.weight' has values that are not finite";
    assert!(error.contains(start), "{error}");
    assert!(!folder.exists());
}
