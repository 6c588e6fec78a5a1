//! What is measured for a time budget.

use std::{fs, ops::ControlFlow, path::Path};

use resnet::{
    Cpu,
    config::TrainConfig,
    data::{Augment, Parts},
    recipe::Freeze,
    train::{Group, Speed, StopFlag, measure_in_group},
};

use crate::common::small_run::{IMAGES, config, dataset};

fn measured(
    config: &TrainConfig,
    data: &Parts,
    signal: usize,
    folder: Option<&Path>,
) -> ControlFlow<usize, Speed> {
    let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(signal));
    measure_in_group(&Group::alone(), config, data, &cpu, &stop, folder).unwrap()
}

#[test]
fn checkpoints_are_counted_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, mut data) = (config(), Parts::from(dataset()));
    // Nothing else takes time after an epoch.
    (config.data.train_images, config.data.validation) = (IMAGES, 0);
    data.test = None;
    config.save_torch = true;
    let epoch_end = |folder: &Path| {
        let speed = measured(&config, &data, 0, Some(folder));
        speed.continue_value().unwrap().epoch_end
    };
    assert!(epoch_end(folder.path()) > 0.0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // What cannot be written takes no time.
    assert_eq!(epoch_end(&folder.path().join("gone")), 0.0);
}

#[test]
fn features_are_counted_before_the_first_step() {
    let (mut config, data) = (config(), Parts::from(dataset()));
    let speed = |config: &TrainConfig| measured(config, &data, 0, None).continue_value().unwrap();
    assert_eq!(speed(&config).start, 0.0);
    config.recipe.freeze = vec![Freeze::backbone(&config.arch.graph(10))];
    config.recipe.augment = Augment::NONE;
    let Speed { start, step, first_step, .. } = speed(&config);
    assert!(start > 0.0 && first_step == step, "{start} {step} {first_step}");
}

/// The images that are measured are few, but those of the run decide.
#[test]
#[cfg(target_os = "linux")]
fn features_that_memory_cannot_hold_are_not_counted() {
    let (mut config, data) = (config(), Parts::from(dataset()));
    config.recipe.freeze = vec![Freeze::backbone(&config.arch.graph(10))];
    config.recipe.augment = Augment::NONE;
    config.data.validation = 1 << 50;
    let speed = measured(&config, &data, 0, None).continue_value().unwrap();
    assert_eq!(speed.start, 0.0);
}

#[test]
fn a_signal_ends_it() {
    let data = Parts::from(dataset());
    assert_eq!(measured(&config(), &data, 2, None), ControlFlow::Break(2));
}
