//! Trains on a folder of photos that has a folder for each class, then evaluates the network, saves it for PyTorch and
//! classifies a photo.
//!
//! `cargo run --release -p resnet --example 07_train_photos [-- FOLDER ARCH]`

use std::{env, error::Error, fs, path::PathBuf, thread};

use resnet::{
    Arch, Cpu, Dtype,
    config::TrainConfig,
    data::{
        CacheOptions, LoadOptions, PhotoOptions, PhotoSet, load, photo,
        transform::{Crop, Transform},
    },
    evaluate::evaluate_photos,
    model_file::SaveFormat,
    predictor::{Computes, Predictor},
    recipe::Recipe,
    run::{Place, RunFolder, load_model},
    train::{Event, StopFlag, train},
};

const SEED: u64 = 0;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let folder = args.next();
    let is_sample = folder.is_none();
    let folder = folder.map_or_else(sample_photos, |folder| Ok(folder.into()))?;
    // Of photos rather than the small pictures here: resnet18, or another network for images of 224x224.
    let arch: Arch = args.next().as_deref().unwrap_or("resnet8").parse()?;
    let threads = thread::available_parallelism()?.get();
    let cpu = Cpu::new(threads)?;

    // A fifth is held out for validation, unless the folder has parts: `train`, and `val` or `test`.
    let set = PhotoSet::open(&folder, None)?;
    set.notes.iter().for_each(|note| eprintln!("note: {note}"));
    let reading = PhotoOptions { workers: threads, cache: CacheOptions::Memory { bytes: 1 << 30 } };
    let data = set.into_parts(arch.image_size(), None, SEED, reading)?;

    let size = [data.train.len(), data.classes.len()];
    let mut recipe = Recipe::for_photos("fast", arch, Some(20.0), size).ok_or("no such recipe")?;
    if is_sample {
        // An arrow is another one in a mirror, and a small part of a ring is a line.
        let whole = Transform { crop: Crop::Whole, horizontal_flip: 0.0, ..Default::default() };
        recipe.transform = Some(whole);
    }
    let config = TrainConfig::new(arch, recipe, &data, SEED);
    let run = RunFolder::create(Place::Numbered(&env::temp_dir().join("resnet-run")), &config)?;
    train(&run, data.clone(), &cpu, &StopFlag::new(0), &mut |event| match event {
        Event::EpochEnd { metrics, .. } => {
            println!("epoch {}: {:.1}%", metrics.epoch, metrics.score());
        }
        Event::Note(note) => eprintln!("note: {note}"),
        _ => {}
    })?;

    // The best epoch by the validation photos.
    let model = load_model(run.path(), &Default::default())?;
    let [_, validation, test] = data.photos();
    let held_out = test.or(validation).ok_or("the folder has no photos to test on")?;
    let normalisation = &data.normalisation;
    let result =
        evaluate_photos(&model, Dtype::Fp32, None, held_out, normalisation, &cpu, &mut |_, _| {})?;
    println!("{:.1}% of {} photos", result.accuracy, result.images);
    let file = run.path().join("state_dict.pt");
    model.save(&file, SaveFormat::StateDict)?;
    println!("saved in {}", file.display());

    let files = [held_out.list().path(0)];
    let predictor = Predictor::new(model, Some(normalisation.clone()), Dtype::Fp32, &cpu)?;
    let pixels = photo::prepare(&files, predictor.preparation(), 1).remove(0)?;
    let mut plan = predictor.plan(Computes::Logits, 1)?;
    let predictions = plan.predict(predictor.input(&pixels), 1)?;
    println!("{}:", files[0].display());
    for (class, probability) in predictions.top(0, 3) {
        println!("{:6.2}%  {}", 100.0 * probability, predictor.classes()[class]);
    }
    Ok(())
}

/// Pictures of the synthetic data set as a folder of photos.
fn sample_photos() -> Result<PathBuf, Box<dyn Error>> {
    let limits = LoadOptions { limit_train: Some(1000), limit_test: Some(1), ..Default::default() };
    let data = load("synthetic", &limits)?;
    let root = env::temp_dir().join("resnet-photos");
    for (index, &label) in data.train.labels.iter().enumerate() {
        let folder = root.join(&data.classes[label as usize]);
        fs::create_dir_all(&folder)?;
        let mut ppm = format!("P6 {} {} 255\n", data.train.width, data.train.height).into_bytes();
        ppm.extend_from_slice(data.train.image(index));
        fs::write(folder.join(format!("{index}.ppm")), ppm)?;
    }
    Ok(root)
}
