//! A small run for tests.

use resnet::{
    config::{DataConfig, TrainConfig},
    data::{self, Dataset, LoadOptions},
    optim::SgdConfig,
    recipe::{Length, Recipe},
    schedule::Schedule,
};

/// 3 epochs of 4 batches, the last of them smaller.
pub(crate) const STEPS: u64 = 12;
pub(crate) const IMAGES: usize = 44;
pub(crate) const VALIDATION: usize = 4;

pub(crate) fn dataset() -> Dataset {
    let limits =
        LoadOptions { limit_train: Some(IMAGES), limit_test: Some(20), ..LoadOptions::default() };
    data::load("synthetic", &limits).unwrap()
}

pub(crate) fn config() -> TrainConfig {
    let arch = "resnet8".parse().unwrap();
    let mut recipe = Recipe::named("walkthrough", arch).unwrap();
    recipe.schedule = Schedule::one_cycle(0.2);
    recipe.label_smoothing = 0.1;
    recipe.optimizer =
        SgdConfig { momentum: 0.9, weight_decay: 2e-4, nesterov: true, ..SgdConfig::default() }
            .into();
    recipe.length = Length::Epochs(3);
    recipe.batch_size = 12;
    recipe.lr = 0.05;
    let data = dataset();
    TrainConfig {
        arch,
        seed: 3,
        total_steps: STEPS,
        init_from: None,
        init_weights: None,
        continues_after: None,
        earlier_lengths: Vec::new(),
        save_torch: false,
        data: DataConfig {
            name: data.name,
            dir: None,
            classes: data.classes,
            image_size: 32,
            train_images: IMAGES - VALIDATION,
            validation: VALIDATION,
            limit_train: Some(IMAGES),
            limit_test: Some(20),
            normalisation: data.normalisation,
            photos: None,
        },
        recipe,
    }
}
