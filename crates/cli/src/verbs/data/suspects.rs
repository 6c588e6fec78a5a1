//! `resnet data suspects`: labels that are probably wrong.

use std::path::Path;

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    data::{ImageSet, Images, Parts},
    evaluate::{self, EvaluateOptions},
    model_file::{LoadOptions, Model},
    predictions::{Predictions, Suspect},
    run::CONFIG,
};
use resnet_formats::{Shown, is_printable};
use serde::Serialize;

use crate::{
    args::{CachePlace, Global, PartArg, PhotoReadingArgs, SuspectsArgs},
    data,
    delayed_progress::DelayedProgress,
    device::Work,
    error::Usage,
    interrupt::Interrupt,
    model, photo_folder,
    photos::{file_name, quoted},
    print,
};

/// A label that is probably wrong: a line of `--json`, or of CSV with the same columns.
#[derive(Serialize)]
struct Record {
    path: String,
    label: String,
    predicted: String,
    label_probability: f32,
    predicted_probability: f32,
    part: &'static str,
}

/// Images of a run that were all used in the same way.
struct Part {
    part: PartArg,
    images: ImageSet,
    /// Which images of the data set these are, where they have no names.
    numbers: Vec<usize>,
}

pub(crate) fn run(args: &SuspectsArgs, global: &Global) -> anyhow::Result<()> {
    let model = model::open(&args.run, &LoadOptions::default(), global)?;
    let Some(folder) = model::run_of(&model.path) else {
        let message = "is not in a run folder, so that its labels are not known";
        return Err(Usage(format!("{} {message}", model.path.shown())).into());
    };
    let config = TrainConfig::read(&folder.join(CONFIG))?;
    let (name, classes) = (&config.data.name, &config.data.classes);
    model.check_fit(name, classes.len(), config.data.normalisation.mean.len())?;
    let mut parts = parts(folder, &config, args, global)?;
    parts.retain(|part| args.part.is_none_or(|asked| asked == part.part));
    if parts.is_empty() {
        let part = args.part.map_or("", PartArg::name);
        return Err(Usage(format!("{} has no {part} images", folder.shown())).into());
    }
    let mut records = Vec::new();
    for part in parts {
        let (predictions, images) = predict(&model, &part, &config, global)?;
        let suspects = predictions.suspects(images.labels());
        note(part.part, images.len(), suspects.len(), global);
        let record = |suspect| record(&part, &images, classes, args.output.json, suspect);
        records.extend(suspects.into_iter().map(record));
    }
    // Each part is sorted already, and equal ones stay in its order.
    records.sort_by(|a, b| a.label_probability.total_cmp(&b.label_probability));
    if args.output.json {
        return records.iter().try_for_each(print::json);
    }
    print::line("path,label,predicted,label_probability,predicted_probability,part")?;
    for record in records {
        let Record { label_probability, predicted_probability, part, .. } = record;
        let [path, label, predicted] =
            [record.path, record.label, record.predicted].map(|text| quoted(&text));
        print::line(format!(
            "{path},{label},{predicted},{label_probability},{predicted_probability},{part}"
        ))?;
    }
    Ok(())
}

/// The parts of a run's data: a validation set is no part of what was trained on.
fn parts(
    run: &Path,
    config: &TrainConfig,
    args: &SuspectsArgs,
    global: &Global,
) -> anyhow::Result<Vec<Part>> {
    let Parts { mut train, mut validation, test, .. } = if config.data.photos.is_some() {
        let cache = Some(CachePlace::Nowhere);
        let reading = PhotoReadingArgs { workers: None, cache, cache_size: None };
        photo_folder::of_run(run, config, &reading, &args.data_dir, global)?
    } else {
        let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
        let set = data::of_run(&config.data, &args.data_dir, global, &interrupt)?;
        interrupt.check()?;
        interrupt.release();
        set.into()
    };
    let all = |images: &ImageSet| (0..images.len()).collect::<Vec<_>>();
    let mut trained_on = all(&train);
    let mut validated = validation.as_ref().map_or_else(Vec::new, all);
    if let (ImageSet::Memory(images), held_out @ 1..) = (&mut train, config.data.validation) {
        let chosen = Images::random_choice(images.len(), held_out, config.seed);
        validation = Some(ImageSet::Memory(images.random_split(held_out, config.seed)?));
        (validated, trained_on) = trained_on.into_iter().partition(|&index| chosen[index]);
    }
    let tested = test.as_ref().map_or_else(Vec::new, all);
    let part = |part: PartArg, images: Option<ImageSet>, numbers| {
        images.map(|images| Part { part, images, numbers })
    };
    let parts = [
        part(PartArg::Train, Some(train), trained_on),
        part(PartArg::Validation, validation, validated),
        part(PartArg::Test, test, tested),
    ];
    Ok(parts.into_iter().flatten().collect())
}

/// What the network predicts for a part, and the images that could be used.
fn predict(
    model: &Model,
    part: &Part,
    config: &TrainConfig,
    global: &Global,
) -> anyhow::Result<(Predictions, ImageSet)> {
    let normalisation = &config.data.normalisation;
    let activity = format!("evaluating {}", part.part.name());
    let progress = DelayedProgress::new(&activity, part.images.len(), global.quiet);
    let (mut logits, mut done) = (Vec::new(), 0);
    let options = EvaluateOptions::default();
    let size = [config.data.image_size; 2];
    let device = global.device(Work::evaluation(model.network.graph(), options.dtype, size))?;
    let mut add = |images: usize, batch: &[f32]| {
        logits.extend_from_slice(batch);
        done += images;
        progress.set(done);
    };
    let classes = model.network.graph().classes();
    let images = match &part.images {
        ImageSet::Memory(images) => {
            let mut listen = |_, batch: &[f32]| add(batch.len() / classes, batch);
            evaluate::evaluate(model, &options, images, normalisation, &device, &mut listen)?;
            part.images.clone()
        }
        ImageSet::Photos(photos) => {
            let mut listen = |labels: &[u32], batch: &[f32]| add(labels.len(), batch);
            let (dtype, tta) = (options.dtype, options.tta);
            evaluate::evaluate_photos(
                model,
                dtype,
                tta,
                photos,
                normalisation,
                &device,
                &mut listen,
            )?;
            ImageSet::Photos(photos.usable())
        }
    };
    progress.clear();
    part.images.take_notes().iter().for_each(|note| global.note(note));
    Ok((Predictions::new(logits, classes), images))
}

fn record(
    part: &Part,
    images: &ImageSet,
    classes: &[String],
    is_json: bool,
    suspect: Suspect,
) -> Record {
    let path = match images {
        ImageSet::Photos(photos) => {
            file_name(&photos.list().path(suspect.image), |c| is_json || is_printable(c))
        }
        ImageSet::Memory(_) => format!("{}/{}", side(part.part), part.numbers[suspect.image]),
    };
    Record {
        path,
        label: classes[suspect.label].clone(),
        predicted: classes[suspect.suggested].clone(),
        label_probability: suspect.self_confidence,
        predicted_probability: suspect.probability,
        part: part.part.name(),
    }
}

/// Where images of a named data set are counted: those of a validation set are training images.
fn side(part: PartArg) -> &'static str {
    if part == PartArg::Test { "test" } else { "train" }
}

fn note(part: PartArg, images: usize, suspects: usize, global: &Global) {
    let about = match part {
        PartArg::Train => {
            "the network was trained on their labels, so that it has learned some of the wrong ones: fewer \
             of them are found"
        }
        PartArg::Validation | PartArg::Test => "the network was not trained on them",
    };
    global.note(format!(
        "{}: {} of {} labels are probably wrong; {about}",
        part.name(),
        print::grouped(suspects),
        print::grouped(images)
    ));
}
