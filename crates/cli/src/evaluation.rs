//! Evaluates a trained network on test images, for `eval`, `show` and `report`.

use std::path::Path;

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    data::{DataSource, Dataset, Images, Normalisation, photo::Preparation},
    evaluate::{self, EvaluateOptions, Evaluation, Tta},
    model_file::Model,
    predictions::Predictions,
    run::CONFIG,
};
use resnet_formats::Shown;

use crate::{
    args::{EvaluationArgs, Global, ResizingArgs},
    config,
    data::{self, Limits},
    delayed_progress::DelayedProgress,
    interrupt::Interrupt,
    model,
};

/// A network, the test images and the results.
pub(crate) struct Evaluated {
    /// Its class names are the data set's if the file states none.
    pub(crate) model: Model,
    /// Its `test` images are the evaluated ones.
    pub(crate) data: Dataset,
    pub(crate) normalisation: Normalisation,
    /// How the test images were resized, if they were.
    pub(crate) preparation: Option<Preparation>,
    pub(crate) result: Evaluation,
    pub(crate) predictions: Predictions,
}

/// Opens a network and evaluates it on the test images, in the size of the images unless the options or
/// the file state another. A missing data set is downloaded.
pub(crate) fn evaluate(
    args: &EvaluationArgs,
    resizing: ResizingArgs,
    tta: Option<Tta>,
    global: &Global,
) -> anyhow::Result<Evaluated> {
    let cpu = global.cpu()?;
    let mut model = model::open_named(&args.model, global)?;
    resizing.apply(&mut model)?;
    let source = match args.data {
        Some(source) => source,
        None => training_data(&model)?,
    };
    // Before anything is downloaded.
    let info = resnet::data::info(source.name(), Path::new(""))?;
    model.check_fit(info.name, info.classes.len(), info.channels)?;
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let limits = Limits { train: Some(1), test: args.limit_test };
    let data = data::load(source, &args.data_dir, limits, global, &interrupt)?;
    interrupt.release();
    let known =
        config::given_normalisation(args.model.normalisation).or(model.normalisation.clone());
    let normalisation = known.unwrap_or_else(|| {
        global.note(format!(
            "{} does not state its normalisation: using the values of {} (override them with \
             --mean and --std)",
            model.path.shown(),
            data.name
        ));
        data.normalisation.clone()
    });
    let preparation = preparation(&model, resizing, &data, &normalisation, global);
    model.classes.get_or_insert_with(|| data.classes.clone());
    let progress = DelayedProgress::new("evaluating", data.test.len(), global.quiet);
    let options = EvaluateOptions { dtype: args.model.dtype.into(), preparation, tta };
    let mut logits = Vec::new();
    let mut listen = |done, batch: &[f32]| {
        logits.extend_from_slice(batch);
        progress.set(done);
    };
    let result =
        evaluate::evaluate(&model, &options, &data.test, &normalisation, &cpu, &mut listen);
    progress.clear();
    let predictions = Predictions::new(logits, model.network.graph().classes());
    Ok(Evaluated { model, data, normalisation, preparation, result: result?, predictions })
}

/// How the images are resized, if the options or the model's file ask for it.
fn preparation(
    model: &Model,
    resizing: ResizingArgs,
    data: &Dataset,
    normalisation: &Normalisation,
    global: &Global,
) -> Option<Preparation> {
    let preparation = model.preparation(normalisation)?;
    let Images { height, width, .. } = data.test;
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
        data.name
    ));
    Some(preparation)
}

/// The data set of the run that a checkpoint belongs to, or the default.
fn training_data(model: &Model) -> anyhow::Result<DataSource> {
    match model::run_of(&model.path) {
        None => Ok(DataSource::Cifar10),
        Some(run) => Ok(TrainConfig::read(&run.join(CONFIG))?.data.name.parse()?),
    }
}
