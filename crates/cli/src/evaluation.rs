//! Evaluates a trained network on labelled images, for `eval`, `show` and `report`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use resnet::{
    config::TrainConfig,
    data::{
        CacheOptions, DataError, DataSource, ImageSet, Normalisation, PhotoList, PhotoOptions,
        PhotoSetError, Photos, photo::Preparation,
    },
    evaluate::{self, EvaluateOptions, Evaluation, Protocol, Tta},
    model_file::Model,
    predictions::Predictions,
    run::CONFIG,
};
use resnet_formats::{Shown, brief, quoted_path};
use resnet_pictures::report::Part;

use crate::{
    args::{DataArg, DataDir, EvaluationArgs, Global, ResizingArgs},
    config,
    data::{self, Limits},
    delayed_progress::DelayedProgress,
    device::Work,
    error::Usage,
    interrupt::Interrupt,
    model, photo_folder,
    photos::json_name,
};

/// A network, the images and the results.
pub(crate) struct Evaluated {
    /// Its class names are the data set's if the file states none.
    pub(crate) model: Model,
    /// Name of the data set.
    pub(crate) data: String,
    /// Its class names.
    pub(crate) classes: Vec<String>,
    /// What images they are.
    pub(crate) part: Part,
    /// The evaluated images.
    pub(crate) images: ImageSet,
    pub(crate) normalisation: Normalisation,
    /// How images in memory were resized, if they were.
    pub(crate) preparation: Option<Preparation>,
    pub(crate) result: Evaluation,
    pub(crate) predictions: Predictions,
}

/// What is evaluated in addition to single views.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extras<'a> {
    pub(crate) tta: Option<Tta>,
    /// These are only checked here.
    pub(crate) protocols: &'a [Protocol],
}

/// Opens a network and evaluates it on the test images, in the size of the images unless the options or
/// the file state another. A missing data set is downloaded.
pub(crate) fn evaluate(
    args: &EvaluationArgs,
    resizing: ResizingArgs,
    extras: Extras<'_>,
    global: &Global,
) -> anyhow::Result<Evaluated> {
    if args.labels.is_some() && !matches!(args.data, Some(DataArg::Folder(_))) {
        let message = "--labels is for a folder of photos: name it after the model (MODEL FOLDER --labels \
                       FILE)";
        return Err(Usage(message.into()).into());
    }
    let mut model = model::open_named(&args.model, global)?;
    resizing.apply(&mut model)?;
    match &args.data {
        Some(DataArg::Named(source)) => {
            data::note_folder(*source, global);
            in_memory(*source, &args.data_dir, model, args, resizing, extras, global)
        }
        Some(DataArg::Folder(root)) => {
            let (list, part, classes) =
                photo_folder::to_evaluate(root, args.labels.as_deref(), &model, global)
                    .map_err(with_class_names)?;
            if let Some(run) = model::run_of(&model.path)
                && let trained @ 1.. = photo_folder::trained_on(&list, run)?
            {
                global.note(format!(
                    "{trained} of these {} photos are those that the run was trained on: without the \
                     folder, only the others are evaluated",
                    list.len()
                ));
            }
            let name = json_name(root);
            on_photos(&name, (list, part), classes, model, args, extras, global)
        }
        None => match training_data(&model)? {
            TrainingData::Named(source, folder) => {
                let folder = args.data_dir.or_of_run(folder);
                in_memory(source, &folder, model, args, resizing, extras, global)
            }
            TrainingData::Photos(name, list, part, classes) => {
                if !Path::new(&name).exists() {
                    let run = model::run_of(&model.path).filter(|run| !run.as_os_str().is_empty());
                    let run = quoted_path(run.unwrap_or(Path::new(".")));
                    bail!(
                        "{} is not there, the folder of the photos of the run: if it is elsewhere now, give it to the run \
                         with resnet train FOLDER --resume {run}, or name it after the model",
                        Path::new(&name).shown()
                    );
                }
                on_photos(&name, (list, part), classes, model, args, extras, global)
            }
        },
    }
}

/// Says what else can be done about photos of classes that the model does not know.
fn with_class_names(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<DataError>() {
        Some(DataError::Photos(PhotoSetError::UnknownClasses { .. })) => {
            anyhow!("{error}, or name the model's classes with --class-names FILE")
        }
        _ => error,
    }
}

fn in_memory(
    source: DataSource,
    data_dir: &DataDir,
    mut model: Model,
    args: &EvaluationArgs,
    resizing: ResizingArgs,
    Extras { tta, protocols }: Extras<'_>,
    global: &Global,
) -> anyhow::Result<Evaluated> {
    // Before anything is downloaded.
    let info = resnet::data::info(source.name(), Path::new(""))?;
    model.check_fit(info.name, info.classes.len(), info.channels)?;
    // The user may have other words for them.
    if args.model.network.class_names.is_none()
        && let Some((class, theirs)) = model.other_class(&info.classes)
    {
        global.note(format!(
            "{} has other classes than {}, which are matched by number: its class {class} is '{}', and \
             that of {} is '{}'",
            model.path.shown(),
            info.name,
            brief(theirs),
            info.name,
            info.classes[class]
        ));
    }
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let limits = Limits { train: Some(1), test: args.limit_test };
    let data = data::load(source, data_dir, limits, global, &interrupt)?;
    interrupt.check()?;
    interrupt.release();
    let normalisation =
        normalisation(&model, args, (&data.name, data.normalisation.clone()), global)?;
    let size = [data.test.height, data.test.width];
    let preparation = preparation(&model, resizing, (&data.name, size), &normalisation, global);
    let [height, width] = size;
    let as_used = preparation_of(preparation, [height, width, data.test.channels], &model);
    check(protocols, as_used, &normalisation)?;
    model.classes.get_or_insert_with(|| data.classes.clone());
    let progress = DelayedProgress::new("evaluating", data.test.len(), global.quiet);
    let options = EvaluateOptions { dtype: args.model.network.dtype.into(), preparation, tta };
    let work = Work::evaluation(model.network.graph(), options.dtype, [as_used.image_size; 2]);
    let device = global.device(work)?;
    let mut logits = Vec::new();
    let mut listen = |done, batch: &[f32]| {
        logits.extend_from_slice(batch);
        progress.set(done);
    };
    let result =
        evaluate::evaluate(&model, &options, &data.test, &normalisation, &device, &mut listen);
    progress.clear();
    let predictions = Predictions::new(logits, model.network.graph().classes());
    Ok(Evaluated {
        model,
        data: data.name,
        classes: data.classes,
        part: Part::Test,
        images: ImageSet::Memory(data.test),
        normalisation,
        preparation,
        result: result?,
        predictions,
    })
}

/// Evaluates a network on photos, prepared as the model says.
fn on_photos(
    name: &str,
    (mut list, part): (PhotoList, Part),
    classes: Vec<String>,
    mut model: Model,
    args: &EvaluationArgs,
    Extras { tta, protocols }: Extras<'_>,
    global: &Global,
) -> anyhow::Result<Evaluated> {
    model.check_fit(name, classes.len(), model.network.graph().in_channels())?;
    photo_folder::limit_test_photos(&mut list, args.limit_test, 0);
    let channels = model.network.graph().in_channels();
    let imagenet = ("ImageNet", Normalisation::imagenet().for_channels(channels));
    model::note_preprocessing(&model, &|note| global.note(note));
    let normalisation = normalisation(&model, args, imagenet, global)?;
    let preparation = model
        .preparation(&normalisation)
        .with_context(|| format!("{} takes neither grey nor colour images", model.path.shown()))?;
    check(protocols, preparation, &normalisation)?;
    if let (None, Some(first)) = (&model.classes, classes.first()) {
        global.note(format!(
            "{} has no class names: its classes are taken to be those of {name} in their order, class 0 \
             {} (--class-names FILE names them)",
            model.path.shown(),
            brief(first)
        ));
    }
    model.classes.get_or_insert_with(|| classes.clone());
    let options = PhotoOptions { workers: global.cpu_threads(), cache: CacheOptions::None };
    let photos = Photos::new(list, preparation, options);
    let dtype = args.model.network.dtype.into();
    let work = Work::evaluation(model.network.graph(), dtype, [preparation.image_size; 2]);
    let device = global.device(work)?;
    let progress = DelayedProgress::new("evaluating", photos.len(), global.quiet);
    let (mut logits, mut done) = (Vec::new(), 0);
    let mut listen = |labels: &[u32], batch: &[f32]| {
        logits.extend_from_slice(batch);
        done += labels.len();
        progress.set(done);
    };
    let result = evaluate::evaluate_photos(
        &model,
        dtype,
        tta,
        &photos,
        &normalisation,
        &device,
        &mut listen,
    );
    progress.clear();
    photos.take_notes().iter().for_each(|note| global.note(note));
    let predictions = Predictions::new(logits, model.network.graph().classes());
    Ok(Evaluated {
        model,
        data: name.to_owned(),
        classes,
        part,
        images: ImageSet::Photos(photos.usable()),
        normalisation,
        preparation: None,
        result: result?,
        predictions,
    })
}

/// The normalisation of the options, else the model's, else the usual one of a data set.
fn normalisation(
    model: &Model,
    args: &EvaluationArgs,
    (name, usual): (&str, Normalisation),
    global: &Global,
) -> Result<Normalisation, Usage> {
    let given = config::given_normalisation_of(args.model.network.normalisation, &model.network)?;
    let known = given.or(model.normalisation.clone());
    Ok(known.unwrap_or_else(|| {
        global.note(format!(
            "{} does not state its normalisation: using the values of {name} (override them with \
             --mean and --std)",
            model.path.shown()
        ));
        usual
    }))
}

/// How images of some rows, columns and channels are prepared, also if they are used as they are.
pub(crate) fn preparation_of(
    preparation: Option<Preparation>,
    [side, _, channels]: [usize; 3],
    model: &Model,
) -> Preparation {
    let interpolation = model.interpolation;
    let as_they_are = Preparation { interpolation, ..Preparation::new(side, None, channels) };
    preparation.unwrap_or(as_they_are)
}

/// Checks that images that are prepared so have the views of protocols.
pub(crate) fn check(
    protocols: &[Protocol],
    preparation: Preparation,
    normalisation: &Normalisation,
) -> Result<(), Usage> {
    let checks = protocols.iter().map(|protocol| protocol.check(preparation, normalisation));
    checks.collect::<Result<_, _>>().map_err(|error| Usage(error.to_string()))
}

/// How images of a data set, of some rows and columns, are resized, if the options or the model's file ask
/// for it.
pub(crate) fn preparation(
    model: &Model,
    resizing: ResizingArgs,
    (data, [height, width]): (&str, [usize; 2]),
    normalisation: &Normalisation,
    global: &Global,
) -> Option<Preparation> {
    let preparation = model.preparation(normalisation)?;
    if resizing.is_given() {
        return Some(preparation);
    }
    let side = model.image_size;
    if !model.states_image_size || ([height, width] == [side; 2] && model.resize.is_none()) {
        return None;
    }
    global.note(format!(
        "{} states images of {side}x{side} pixels: those of {} are resized (--resize \
         {height} --crop {height} evaluates them as they are)",
        model.path.shown(),
        data
    ));
    Some(preparation)
}

/// What a run is evaluated on.
pub(crate) enum TrainingData {
    /// A data set, and the folder that the run had it from, if it was named.
    Named(DataSource, Option<PathBuf>),
    /// The name of the folder, the photos to test on, or else those for validation, and the classes.
    Photos(String, PhotoList, Part, Vec<String>),
}

/// The data set of the run that a checkpoint belongs to, or the default.
pub(crate) fn training_data(model: &Model) -> anyhow::Result<TrainingData> {
    let Some(run) = model::run_of(&model.path) else {
        return Ok(TrainingData::Named(DataSource::Cifar10, None));
    };
    let TrainConfig { data, .. } = TrainConfig::read(&run.join(CONFIG))?;
    if data.photos.is_none() {
        return Ok(TrainingData::Named(data.name.parse()?, data.dir));
    }
    let [_, validation, test] = photo_folder::names_of_run(run, Path::new(&data.name))?;
    let part = if test.is_some() { Part::Test } else { Part::Validation };
    let list = test.or(validation).with_context(|| {
        format!("{} has no photos for validation or testing: name a folder of them", run.shown())
    })?;
    Ok(TrainingData::Photos(data.name, list, part, data.classes))
}
