//! `resnet eval`: a trained network on test images.

use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use resnet::{
    checkpoint::Model,
    config::TrainConfig,
    data::DataSource,
    evaluate::{self, Evaluation},
    run::CONFIG,
};

use crate::{
    args::{EvalArgs, Global},
    config,
    data::{self, Limits},
    interrupt::Interrupt,
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// How long an evaluation goes on before a bar shows up.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &EvalArgs, global: &Global) -> anyhow::Result<()> {
    let cpu = global.cpu()?;
    let mut model = Model::load(&args.model, args.arch)?;
    model.notes.iter().for_each(|note| global.note(note));
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
        if args.logits.is_some() {
            logits.extend_from_slice(batch);
        }
        progress.show(done);
    };
    let result = evaluate::evaluate(&model, dtype, &data.test, &normalisation, &cpu, &mut listen);
    progress.bar.finish_and_clear();
    let result = result?;
    if let Some(path) = &args.logits {
        evaluate::save_logits(path, &logits, model.network.graph().classes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.output.json { print::json(&result) } else { show(&result) }
}

/// The data set of the run that a checkpoint lies in, or else the default one.
fn trained_on(model: &Model) -> anyhow::Result<DataSource> {
    let config = model.path.with_file_name(CONFIG);
    if !config.is_file() {
        return Ok(DataSource::Cifar10);
    }
    Ok(TrainConfig::read(&config)?.data.name.parse()?)
}

fn show(result: &Evaluation) -> anyhow::Result<()> {
    for (label, value) in [
        ("accuracy", format!("{:.2}%", result.accuracy)),
        ("top-5", format!("{:.2}%", result.top5_accuracy)),
        ("loss", format!("{:.4}", result.loss)),
        ("images", print::grouped(result.images)),
        ("time", format!("{:.1} s", result.seconds)),
    ] {
        print::line(format!("{label:<10}{value}"))?;
    }
    let rows = result
        .per_class
        .iter()
        .map(|c| vec![c.class.clone(), print::grouped(c.images), format!("{:.2}%", c.accuracy)]);
    let headers = [("class", Left), ("images", Right), ("accuracy", Right)];
    Ok(print::line(format!("\n{}", table(&headers, rows)))?)
}

/// A bar that shows up only when the wait gets long.
struct LateBar {
    bar: ProgressBar,
    began: Instant,
    quiet: bool,
}

impl LateBar {
    fn new(images: usize, quiet: bool) -> Self {
        let style = ProgressStyle::with_template("testing {wide_bar} {pos} of {len} images")
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
