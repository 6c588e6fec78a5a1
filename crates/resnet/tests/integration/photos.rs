//! A run on photos, from their folder to a model, by the library alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use resnet::{
    Arch, Cpu,
    config::TrainConfig,
    data::{CacheOptions, Parts, PhotoOptions, PhotoSet, Photos},
    recipe::Recipe,
    run::{PHOTOS, RunFolder, load_model, open_photos},
    train::{Outcome, StopFlag, set_epochs, train},
};

use crate::common::small_run;

const CLASSES: [&str; 2] = ["circle", "square"];

/// Writes ten photos of each class.
fn write_photos(root: &Path) {
    for (class, name) in CLASSES.into_iter().enumerate() {
        let folder = root.join(name);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..10 {
            let mut bytes = b"P6 40 36 255\n".to_vec();
            bytes.extend((0..3 * 40 * 36).map(|i| (i * (class + 2) + index * 40) as u8));
            fs::write(folder.join(format!("{index}.ppm")), bytes).unwrap();
        }
    }
}

fn reading() -> PhotoOptions {
    PhotoOptions { workers: 1, cache: CacheOptions::None }
}

/// The names of the photos of each part.
fn names(data: &Parts) -> Vec<Vec<PathBuf>> {
    let parts = data.photos().into_iter().flatten();
    let name = |photos: &Photos| {
        (0..photos.len()).map(|index| photos.list().name(index).to_owned()).collect()
    };
    parts.map(name).collect()
}

#[test]
fn a_run_on_photos_is_trained_resumed_and_moved() {
    let folder = tempfile::tempdir().unwrap();
    let [photos, run, elsewhere] =
        ["photos", "run", "elsewhere"].map(|name| folder.path().join(name));
    write_photos(&photos);
    let data = PhotoSet::open(&photos, None).unwrap().into_parts(32, None, 7, reading()).unwrap();
    let began = names(&data);
    let arch: Arch = "resnet8".parse().unwrap();
    let recipe = Recipe::for_photos("fast", arch, Some(1.0), [data.train.len(), 2]).unwrap();
    let config = TrainConfig::new(arch, recipe, &data, 7);
    assert_eq!((config.data.train_images, config.data.validation), (16, 4));
    let train = |run: &RunFolder, data: Parts| {
        let (cpu, stop) = (Cpu::new(2).unwrap(), StopFlag::new(0));
        match train(run, data, &cpu, &stop, &mut |_| {}).unwrap() {
            Outcome::Finished(last) => last.epoch,
            stopped => panic!("{stopped:?}"),
        }
    };

    let new = RunFolder::create(&run, &config).unwrap();
    assert_eq!(train(&new, data), 1);
    drop(new);
    let text = fs::read_to_string(run.join(PHOTOS)).unwrap();
    assert_eq!(text.lines().count(), 20, "{text}");
    // Each was read, and is known again.
    assert!(text.lines().all(|line| line.split('\t').count() == 4), "{text}");

    let mut resumed = RunFolder::resume(&run).unwrap();
    set_epochs(&mut resumed, 2).unwrap();
    let data = open_photos(&resumed, reading()).unwrap();
    assert_eq!(names(&data), began);
    assert_eq!(train(&resumed, data), 2);

    fs::rename(&photos, &elsewhere).unwrap();
    let error = resumed.move_photos(folder.path()).unwrap_err().to_string();
    assert!(error.contains("and 19 more photos of the run are not there"), "{error}");
    resumed.move_photos(&elsewhere).unwrap();
    let data = open_photos(&resumed, reading()).unwrap();
    assert_eq!((names(&data), &*data.name), (began, elsewhere.to_str().unwrap()));
    assert_eq!(load_model(&run, &Default::default()).unwrap().class_names(), CLASSES);
}

/// The folder, photos and configuration of a run of one epoch.
fn new_run(folder: &Path) -> (PathBuf, Parts, TrainConfig) {
    let [photos, run] = ["photos", "run"].map(|name| folder.join(name));
    write_photos(&photos);
    let data = PhotoSet::open(&photos, None).unwrap().into_parts(32, None, 7, reading()).unwrap();
    let arch: Arch = "resnet8".parse().unwrap();
    let recipe = Recipe::for_photos("fast", arch, Some(1.0), [data.train.len(), 2]).unwrap();
    let config = TrainConfig::new(arch, recipe, &data, 7);
    (run, data, config)
}

/// Whether another process created its folder or this one.
#[test]
fn a_run_that_has_saved_nothing_notes_its_photos() {
    let folder = tempfile::tempdir().unwrap();
    let (run, data, config) = new_run(folder.path());
    drop(RunFolder::create(&run, &config).unwrap());
    let resumed = RunFolder::resume(&run).unwrap();
    let began = names(&data);
    let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(2));
    train(&resumed, data, &cpu, &stop, &mut |_| {}).unwrap();
    assert_eq!(names(&open_photos(&resumed, reading()).unwrap()), began);
}

#[test]
fn a_run_on_a_data_set_has_no_photos() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&folder.path().join("run"), &small_run::config()).unwrap();
    let error = open_photos(&run, reading()).err().unwrap().to_string();
    assert_eq!(
        error,
        "synthetic: it is a data set, not a folder of photos: DataConfig::load loads it"
    );
}

#[test]
fn a_run_that_cannot_start_leaves_no_names() {
    let folder = tempfile::tempdir().unwrap();
    let (run, data, mut config) = new_run(folder.path());
    config.data.train_images += 1;
    let new = RunFolder::create(&run, &config).unwrap();
    let (cpu, stop) = (Cpu::new(1).unwrap(), StopFlag::new(0));
    assert!(train(&new, data, &cpu, &stop, &mut |_| {}).is_err());
    assert!(!run.exists());
}
