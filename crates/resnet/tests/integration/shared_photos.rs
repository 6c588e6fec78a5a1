//! Several processes, which are threads here, train on photos.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use resnet::{
    config::{DataConfig, PhotosConfig, TrainConfig},
    data::{
        CacheOptions, ImageSet, Parts, PhotoList, PhotoOptions, Photos,
        transform::{Crop, Transform},
    },
    preprocess::Preparation,
    recipe::{Freeze, Length},
    run::{RunFolder, photo_names},
    train::{Event, Outcome},
};

use crate::processes::{in_shards, run_with};

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

#[test]
fn features_are_kept_if_all_processes_can_use_the_same_photos() {
    for damaged in [0, 1] {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("run");
        drop(RunFolder::create(&folder, &of_photos()).unwrap());
        let root: PathBuf = runs.path().to_owned();
        let notes = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&notes);
        let damage = root.join("1/test/0.ppm");
        let data = move |rank: usize| photos_of(&root.join(rank.to_string()));
        let ends = run_with(&folder, 2, 1, data, move |rank, event| {
            // A photo to test on is damaged where process 1 runs, after data were compared.
            if damaged > 0 && matches!(event, Event::Started(_)) {
                fs::write(&damage, "no photo").unwrap();
            }
            if let Event::Note(note) = event {
                said.lock().unwrap().push((rank, note.clone()));
            }
            false
        });
        assert!(ends.iter().all(|end| matches!(end, Ok(Outcome::Finished(_)))), "{ends:?}");
        let notes = notes.lock().unwrap();
        let by = |text: &str| -> Vec<usize> {
            notes.iter().filter(|(_, note)| note.contains(text)).map(|&(rank, _)| rank).collect()
        };
        // Process 0 speaks for all.
        assert_eq!(by("is computed once"), [0], "{notes:?}");
        assert_eq!(by("process 1 cannot use the same photos").len(), damaged, "{notes:?}");
        assert!(!by("classifier").contains(&1), "{notes:?}");
    }
}

#[test]
fn photos_that_differ_are_refused() {
    let runs = tempfile::tempdir().unwrap();
    let (folder, root) = (runs.path().join("run"), runs.path().to_owned());
    drop(RunFolder::create(&folder, &of_photos()).unwrap());
    let data = move |rank: usize| {
        let data = photos_of(&root.join(rank.to_string()));
        if rank == 1 {
            fs::write(root.join("1/train/7.ppm"), "a photo that was not copied whole").unwrap();
        }
        data
    };
    for end in run_with(&folder, 2, 1, data, |_, _| false) {
        let message = end.unwrap_err().to_string();
        assert!(message.contains("process 1 on ") && message.contains("other images"), "{message}");
    }
}

#[test]
fn process_0_knows_the_photos_that_others_read() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let mut config = of_photos();
    // Features of all images would be computed for unchanged ones.
    config.recipe.transform = Some(Transform::default());
    (config.recipe.length, config.total_steps) = (Length::Epochs(1), 2);
    drop(RunFolder::create(&folder, &config).unwrap());
    let root = runs.path().to_owned();
    let data = move |rank: usize| photos_of(&root.join(rank.to_string()));
    let ends = run_with(&folder, 2, 1, data, |_, _| false);
    assert!(ends.iter().all(|end| matches!(end, Ok(Outcome::Finished(_)))), "{ends:?}");
    let [train, _, test] = photo_names(&folder, runs.path()).unwrap();
    for (part, len) in [(train, 8), (test, 4)] {
        let (list, identities) = part.unwrap();
        assert_eq!(list.len(), len);
        assert!(!identities.contains(&0), "{identities:?}");
    }
}
