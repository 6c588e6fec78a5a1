//! What a run's network does on the test images of its data set.

use std::path::Path;

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    data::{self, DataSource},
    predictions::CalibrationBin,
    run::{BEST, LAST},
};
use resnet_formats::Shown;
use resnet_pictures::report::{Bin, Evaluation, Example, Run};

use crate::{
    args::{DataDir, Dtype, Global, ModelArgs, NormalisationArgs, ReportArgs, TestArgs},
    evaluation::{self, Evaluated},
    pictures::{cell, confusion},
};

/// The first images that a report shows.
const FIRST: usize = 32;
/// The mistakes that it shows.
const MISTAKES: usize = 16;

/// Tests a run's network, or says in the run and on stderr why that cannot be.
pub(super) fn test(
    run: &mut Run,
    config: &TrainConfig,
    folder: &Path,
    args: &ReportArgs,
    global: &Global,
) -> anyhow::Result<()> {
    let data_dir = DataDir { path: args.data_dir.path.clone(), of_run: config.data.dir.clone() };
    if let Some(obstacle) = obstacle(config, folder, &data_dir)? {
        global.note(format!("{}: {obstacle}: the report does without tests", folder.shown()));
        run.note = Some(format!("Without tests of the network: {obstacle}."));
        return Ok(());
    }
    let test = TestArgs {
        model: ModelArgs {
            // Never a word that stands for a model, whatever the folder is called.
            path: std::path::absolute(folder).context("there is no working folder")?,
            arch: None,
            dtype: Dtype::Fp32,
            normalisation: NormalisationArgs { mean: None, std: None },
        },
        data: None,
        limit_test: args.limit_test.or(config.data.limit_test),
        data_dir,
    };
    let evaluated = evaluation::evaluate(&test, global)
        .with_context(|| format!("cannot test {} (--no-eval does without)", folder.shown()))?;
    run.evaluation = Some(summed_up(&evaluated));
    Ok(())
}

/// Why there is nothing to test, or nothing to test it on.
fn obstacle(
    config: &TrainConfig,
    folder: &Path,
    data_dir: &DataDir,
) -> anyhow::Result<Option<String>> {
    if ![BEST, LAST].iter().any(|name| folder.join(name).is_file()) {
        return Ok(Some("the run has no checkpoint yet".to_owned()));
    }
    let name = &config.data.name;
    if name.parse::<DataSource>().is_err() {
        return Ok(Some(format!("{name} is no data set that is known here")));
    }
    let present = data::info(name, &data_dir.folder()?)?.present;
    Ok((!present).then(|| format!("{name} is not here (`resnet data fetch {name}`, --data-dir)")))
}

fn summed_up(evaluated: &Evaluated) -> Evaluation {
    let Evaluated { model, data, result, predictions, .. } = evaluated;
    let (classes, labels) = (model.class_names(), &data.test.labels);
    let examples = |images: Vec<usize>| {
        images.into_iter().map(|image| cell(evaluated, &classes, image).into()).collect()
    };
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
        images: result.images as u64,
        accuracy: result.accuracy,
        top5_accuracy: result.top5_accuracy,
        loss: result.loss,
        calibration_error: result.calibration_error,
        reliability: bins.into_iter().map(bin).collect(),
        first,
        mistakes: examples(wrong),
        confusion: confusion(evaluated),
        classes,
    }
}
