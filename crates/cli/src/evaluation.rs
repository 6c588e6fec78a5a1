//! Evaluates a trained network on test images, for `eval`, `show` and `report`.

use std::path::Path;

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    data::{DataSource, Dataset, Normalisation},
    evaluate::{self, Evaluation},
    model_file::Model,
    predictions::Predictions,
    run::CONFIG,
};
use resnet_formats::Shown;

use crate::{
    args::{EvaluationArgs, Global},
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
    pub(crate) result: Evaluation,
    pub(crate) predictions: Predictions,
}

/// Opens a network and evaluates it on the test images. A missing data set is downloaded.
pub(crate) fn evaluate(args: &EvaluationArgs, global: &Global) -> anyhow::Result<Evaluated> {
    let cpu = global.cpu()?;
    let mut model = model::open_named(&args.model, global)?;
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
    model.classes.get_or_insert_with(|| data.classes.clone());
    let progress = DelayedProgress::new("evaluating", data.test.len(), global.quiet);
    let (dtype, mut logits) = (args.model.dtype.into(), Vec::new());
    let mut listen = |done, batch: &[f32]| {
        logits.extend_from_slice(batch);
        progress.set(done);
    };
    let result = evaluate::evaluate(&model, dtype, &data.test, &normalisation, &cpu, &mut listen);
    progress.clear();
    let predictions = Predictions::new(logits, model.network.graph().classes());
    Ok(Evaluated { model, data, normalisation, result: result?, predictions })
}

/// The data set of the run that a checkpoint belongs to, or the default.
fn training_data(model: &Model) -> anyhow::Result<DataSource> {
    match model::run_of(model) {
        None => Ok(DataSource::Cifar10),
        Some(run) => Ok(TrainConfig::read(&run.join(CONFIG))?.data.name.parse()?),
    }
}
