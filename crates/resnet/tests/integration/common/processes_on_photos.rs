//! Photos for processes that each have a folder of their own, and a run on them.

use std::{fs, path::Path};

use resnet::{
    config::{DataConfig, PhotosConfig, TrainConfig},
    data::{
        CacheOptions, ImageSet, Parts, PhotoList, PhotoOptions, Photos,
        transform::{Crop, Transform},
    },
    preprocess::Preparation,
    recipe::{Freeze, Length},
};

use crate::common::processes::in_shards;

/// Pixels of a photo's side.
const SIDE: usize = 32;

/// Photos of two classes in a folder.
pub(crate) fn photos(folder: &Path, count: usize, cache: CacheOptions) -> ImageSet {
    fs::create_dir_all(folder).unwrap();
    let mut list = PhotoList::new(folder);
    for index in 0..count {
        let mut bytes = format!("P6 {SIDE} {SIDE} 255\n").into_bytes();
        bytes.extend((0..3 * SIDE * SIDE).map(|i| (i * 7 + index * 40) as u8));
        let name = format!("{index}.ppm");
        fs::write(folder.join(&name), bytes).unwrap();
        list.push(name.as_bytes(), index as u32 % 2);
    }
    let options = PhotoOptions { workers: 1, cache };
    ImageSet::Photos(Photos::new(list, Preparation::new(SIDE, None, 3), options))
}

/// A run on photos that trains only the classifier, without augmentation.
pub(crate) fn of_photos() -> TrainConfig {
    let mut config = in_shards(2);
    let recipe = &mut config.recipe;
    recipe.freeze = vec![Freeze::backbone(&config.arch.graph(2))];
    let crop = Crop::Whole;
    recipe.transform = Some(Transform { crop, horizontal_flip: 0.0, ..Transform::default() });
    (recipe.batch_size, recipe.length, config.total_steps) = (4, Length::Epochs(2), 4);
    config.data = DataConfig {
        name: "photos".to_owned(),
        classes: ["cat", "dog"].map(str::to_owned).to_vec(),
        image_size: SIDE,
        train_images: 8,
        validation: 0,
        limit_train: None,
        limit_test: None,
        photos: Some(PhotosConfig { resize: SIDE, own_validation: false, labels: None }),
        ..config.data
    };
    config
}

/// The photos that a process has below a folder of its own.
pub(crate) fn photos_of(root: &Path) -> Parts {
    let DataConfig { name, classes, normalisation, .. } = of_photos().data;
    let train = photos(&root.join("train"), 8, CacheOptions::None);
    let test = Some(photos(&root.join("test"), 4, CacheOptions::None));
    Parts { name, classes, normalisation, train, validation: None, own_validation: false, test }
}
