//! A trained network on test images: what `eval`, `show` and `report` begin with.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use resnet::{
    checkpoint::{DEMO, Model},
    config::TrainConfig,
    data::{DataSource, Dataset, Normalisation},
    evaluate::{self, Evaluation},
    predictions::Predictions,
    run::CONFIG,
};

use crate::{
    args::{Global, TestArgs},
    config,
    data::{self, Limits},
    interrupt::Interrupt,
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
    let mut model = model::open(&args.model, args.arch, global)?;
    let source = match args.data {
        Some(source) => source,
        None => trained_on(&model)?,
    };
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let limits = Limits { train: Some(1), test: args.limit_test };
    let data = data::load(source, &args.data_dir, limits, global, &interrupt)?;
    interrupt.release();
    model.check_fit(&data.name, data.classes.len(), data.test.channels)?;
    let known = config::asked(args.normalisation).or(model.normalisation.clone());
    let normalisation = known.unwrap_or_else(|| {
        global.note(format!(
            "{} does not say how its images are normalised: it is taken to be as usual for {} \
             (--mean, --std)",
            model.path.display(),
            data.name
        ));
        data.normalisation.clone()
    });
    model.classes.get_or_insert_with(|| data.classes.clone());
    let mut progress = LateBar::new(data.test.len(), global.quiet);
    let (dtype, mut logits) = (args.dtype.into(), Vec::new());
    let mut listen = |done, batch: &[f32]| {
        logits.extend_from_slice(batch);
        progress.show(done);
    };
    let result = evaluate::evaluate(&model, dtype, &data.test, &normalisation, &cpu, &mut listen);
    progress.bar.finish_and_clear();
    let predictions = Predictions::new(logits, model.network.graph().classes());
    Ok(Evaluated { model, data, normalisation, result: result?, predictions })
}

/// The data set of the run that a checkpoint lies in, or else the default one.
fn trained_on(model: &Model) -> anyhow::Result<DataSource> {
    let config = model.path.with_file_name(CONFIG);
    if model.path == Path::new(DEMO) || !config.is_file() {
        return Ok(DataSource::Cifar10);
    }
    Ok(TrainConfig::read(&config)?.data.name.parse()?)
}

/// How long an evaluation goes on before a bar shows up.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar that shows up only when the wait gets long.
struct LateBar {
    bar: ProgressBar,
    began: Instant,
    quiet: bool,
}

impl LateBar {
    fn new(images: usize, quiet: bool) -> Self {
        let style =
            ProgressStyle::with_template("testing {wide_bar} {pos} of {len} images, {eta} left")
                .expect("a constant template")
                .progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(images as u64), ProgressDrawTarget::hidden());
        LateBar { bar: bar.with_style(style), began: Instant::now(), quiet }
    }

    fn show(&mut self, done: usize) {
        if !self.quiet && self.bar.is_hidden() && self.began.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done as u64);
    }
}
