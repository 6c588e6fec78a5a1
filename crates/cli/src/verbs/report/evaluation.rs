//! Evaluates the network of a run on the images that its data set has for that.

use std::path::Path;

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    data::{self, DataSource},
    predictions::{self, CalibrationBin},
    run::{BEST, LAST},
};
use resnet_formats::Shown;
use resnet_pictures::{
    Cell,
    report::{Bin, Evaluation, Example, Run, Scores},
};

use crate::{
    args::{
        DataDir, Dtype, EvaluationArgs, Global, ModelArgs, NetworkArgs, NormalisationArgs,
        ReportArgs, ResizingArgs, WeightsArg,
    },
    evaluation::{self, Evaluated, Extras},
    pictures::{cell, confusion},
};

/// Number of first images in a report.
const FIRST: usize = 32;
/// Number of mistakes in a report.
const MISTAKES: usize = 16;
/// The most pixels of an image's side, so that all of them fit into the page.
const SIDE: usize = 96;

/// Adds the evaluation of a run's network. If that is not possible, notes why in the run and on
/// stderr.
pub(super) fn add(
    run: &mut Run,
    config: &TrainConfig,
    folder: &Path,
    args: &ReportArgs,
    global: &Global,
) -> anyhow::Result<()> {
    let data_dir = DataDir { path: args.data_dir.path.clone(), from_run: config.data.dir.clone() };
    if let Some(reason) = reason_to_skip(config, folder, &data_dir)? {
        global.note(format!("{} is not evaluated: {reason}", folder.shown()));
        run.note = Some(format!("The network is not evaluated: {reason}."));
        return Ok(());
    }
    let args = EvaluationArgs {
        model: ModelArgs {
            // Absolute, so that a folder named `demo` is not taken for the built-in model.
            path: std::path::absolute(folder).context("the working folder does not exist")?,
            network: NetworkArgs {
                weights: WeightsArg { weights: None },
                arch: None,
                dtype: Dtype::Fp32,
                class_names: None,
                normalisation: NormalisationArgs { mean: None, std: None },
            },
        },
        data: None,
        labels: None,
        // The photos of a run are those that it was limited to.
        limit_test: args
            .limit_test
            .or(config.data.limit_test.filter(|_| config.data.photos.is_none())),
        data_dir,
    };
    let evaluated = evaluation::evaluate(&args, ResizingArgs::default(), Extras::default(), global)
        .with_context(|| {
            format!("cannot evaluate {} (skip this with --no-eval)", folder.shown())
        })?;
    run.evaluation = Some(summarise(&evaluated));
    Ok(())
}

/// Why a run cannot be evaluated: it has no checkpoint, or its data set is missing.
fn reason_to_skip(
    config: &TrainConfig,
    folder: &Path,
    data_dir: &DataDir,
) -> anyhow::Result<Option<String>> {
    if ![BEST, LAST].iter().any(|name| folder.join(name).is_file()) {
        return Ok(Some("the run has no checkpoint yet".to_owned()));
    }
    let name = &config.data.name;
    if config.data.photos.is_some() {
        let there = Path::new(name).is_dir();
        return Ok((!there).then(|| format!("the folder {} is not there", Path::new(name).shown())));
    }
    if name.parse::<DataSource>().is_err() {
        return Ok(Some(format!("the data set {name} is unknown")));
    }
    let present = data::info(name, &data_dir.folder()?)?.present;
    Ok((!present).then(|| {
        format!(
            "{name} is not downloaded (run `resnet data fetch {name}{}`, or give another --data-dir)",
            data_dir.as_option()
        )
    }))
}

fn summarise(evaluated: &Evaluated) -> Evaluation {
    let Evaluated { model, images, result, predictions, .. } = evaluated;
    let (classes, labels) = (model.class_names(), images.labels());
    let example = |image| {
        let cell = cell(evaluated, &classes, image);
        Cell { picture: cell.picture.shrunk(SIDE), ..cell }.into()
    };
    let examples = |images: Vec<usize>| images.into_iter().map(example).collect();
    let first: Vec<Example> = examples((0..predictions.len().min(FIRST)).collect());
    let mut wrong = predictions.mistakes(labels);
    wrong.truncate(MISTAKES);
    let bins = predictions.calibration(labels).bins();
    let bin = |bin: CalibrationBin| Bin {
        images: bin.images as u64,
        accuracy: bin.accuracy,
        confidence: bin.confidence,
    };
    let file = model.path.file_name().unwrap_or_default().to_string_lossy();
    let after = model.epochs.map_or_else(String::new, |epochs| format!(", after epoch {epochs},"));
    Evaluation {
        checkpoint: format!("{file}{after}"),
        part: evaluated.part,
        images: result.images as u64,
        accuracy: result.accuracy,
        top5_accuracy: result.top5_accuracy,
        loss: result.loss,
        calibration_error: result.calibration_error,
        balanced_accuracy: result.balanced_accuracy,
        scores: result.per_class.iter().map(|class| scores(class.scores)).collect(),
        macro_average: scores(result.macro_average),
        weighted_average: scores(result.weighted_average),
        reliability: bins.into_iter().map(bin).collect(),
        first,
        mistakes: examples(wrong),
        confusion: confusion(evaluated),
        classes,
    }
}

fn scores(scores: predictions::Scores) -> Scores {
    let predictions::Scores { precision, recall, f1 } = scores;
    Scores { precision, recall, f1 }
}
