//! A trained network on test images: what `eval`, `show` and `report` begin with.

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
    args::{Global, TestArgs},
    config,
    data::{self, Limits},
    interrupt::Interrupt,
    late_bar::LateBar,
    model,
};

/// A network, the images that it was tried on, and what came of it.
pub(crate) struct Evaluated {
    /// With the data set's classes where it names none of its own.
    pub(crate) model: Model,
    /// Its `test` images are those that were tried.
    pub(crate) data: Dataset,
    pub(crate) normalisation: Normalisation,
    pub(crate) result: Evaluation,
    pub(crate) predictions: Predictions,
}

/// Opens a network and tries it on its test images, which are fetched if they are missing.
pub(crate) fn evaluate(args: &TestArgs, global: &Global) -> anyhow::Result<Evaluated> {
    let cpu = global.cpu()?;
    let mut model = model::open(&args.model.path, args.model.arch, global)?;
    let source = match args.data {
        Some(source) => source,
        None => trained_on(&model)?,
    };
    // Before anything is fetched.
    let info = resnet::data::info(source.name(), Path::new(""))?;
    model.check_fit(info.name, info.classes.len(), info.channels)?;
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let limits = Limits { train: Some(1), test: args.limit_test };
    let data = data::load(source, &args.data_dir, limits, global, &interrupt)?;
    interrupt.release();
    let known = config::asked(args.model.normalisation).or(model.normalisation.clone());
    let normalisation = known.unwrap_or_else(|| {
        global.note(format!(
            "{} does not say how its images are normalised: it is taken to be as usual for {} \
             (--mean, --std)",
            model.path.shown(),
            data.name
        ));
        data.normalisation.clone()
    });
    model.classes.get_or_insert_with(|| data.classes.clone());
    let progress = LateBar::new("testing", data.test.len(), global.quiet);
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

/// The data set of the run that a checkpoint lies in, or else the default one.
fn trained_on(model: &Model) -> anyhow::Result<DataSource> {
    match model::run_of(model) {
        None => Ok(DataSource::Cifar10),
        Some(run) => Ok(TrainConfig::read(&run.join(CONFIG))?.data.name.parse()?),
    }
}
