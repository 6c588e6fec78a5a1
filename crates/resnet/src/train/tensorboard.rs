//! Writes a run's event files for TensorBoard.

use std::{io, path::PathBuf};

use resnet_formats::{
    brief, printable,
    tensorboard::{
        Event::{Restart, Values},
        EventFile, HPARAMS, HParam, Value,
    },
};

use super::{BatchEvent, Event, Started};
use crate::{
    config::TrainConfig,
    metrics::EpochMetrics,
    run::{RunError, RunFolder, TENSORBOARD},
};

/// Points of a curve of batches: TensorBoard draws no more by default.
const POINTS: u64 = 1000;

/// Writes the curves of a run into `tensorboard` in its folder, for TensorBoard.
///
/// Metrics of an epoch are at its last step: `Loss/train`, `Loss/test`,
/// `Accuracy/train`, `Accuracy/test` (percent), `Loss/validation` and `Accuracy/validation` where
/// there is a validation set, `LearningRate`, `Throughput/images_per_second`. `Batch/loss`,
/// `Batch/accuracy` and `Batch/learning_rate` are those of single batches, a thousand in a run. A
/// resumed run gets another file, which names the step that it resumes at.
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    config: TrainConfig,
    /// Before there is a file.
    started: Option<Started>,
    file: Option<EventFile>,
}

impl TensorBoard {
    /// A writer for a run. It writes nothing before a batch is trained or the run is complete: its file hides what
    /// earlier ones have of the steps that follow.
    pub fn new(run: &RunFolder) -> TensorBoard {
        let folder = run.path().join(TENSORBOARD);
        TensorBoard { folder, config: run.config().clone(), started: None, file: None }
    }

    /// Writes an event, without buffering.
    ///
    /// # Errors
    /// If the file cannot be written. Write nothing more then: readers stop at an incomplete
    /// record.
    pub fn write(&mut self, event: &Event) -> Result<(), RunError> {
        self.put_event(event).map_err(RunError::io("write", &self.folder))
    }

    fn put_event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Started(run) => self.started = Some(run.clone()),
            Event::Batch(_) | Event::EpochEnd { .. } | Event::Finished { .. } => {
                self.started.take().map_or(Ok(()), |run| self.begin(&run))?;
            }
            _ => {}
        }
        match event {
            Event::Batch(batch)
                if batch.step.is_multiple_of(batch.total_steps.div_ceil(POINTS)) =>
            {
                self.put(batch.step, &batch_values(batch))
            }
            Event::EpochEnd { metrics, .. } => self.put(metrics.step, &epoch_values(metrics)),
            _ => Ok(()),
        }
    }

    /// Starts a file. The first one of a run has its configuration and the epochs so far.
    fn begin(&mut self, run: &Started) -> io::Result<()> {
        let first = !EventFile::exists_in(&self.folder)?;
        let file = self.file.insert(EventFile::create(&self.folder)?);
        file.write(run.step + 1, Restart)?;
        if !first {
            return Ok(());
        }
        let config = toml::to_string(&self.config).map_err(io::Error::other)?;
        // Four spaces make it a code block in Markdown.
        let config: String =
            config.lines().map(|line| format!("    {}\n", printable(line))).collect();
        let names = Names::of(&self.config);
        let hparams = hparams(&self.config, &names);
        let about = [("config", Value::Text(&config)), (HPARAMS, Value::HParams(&hparams))];
        file.write(0, Values(&about))?;
        run.history.iter().try_for_each(|e| file.write(e.step, Values(&epoch_values(e))))
    }

    fn put(&mut self, step: u64, values: &[(&str, Value<'_>)]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write(step, Values(values)))
    }
}

fn batch_values(batch: &BatchEvent) -> [(&'static str, Value<'static>); 3] {
    [
        ("Batch/loss", Value::Scalar(batch.batch_loss as f32)),
        ("Batch/accuracy", Value::Scalar(batch.batch_accuracy as f32)),
        ("Batch/learning_rate", Value::Scalar(batch.learning_rate)),
    ]
}

fn epoch_values(m: &EpochMetrics) -> Vec<(&'static str, Value<'static>)> {
    [
        ("Loss/train", Some(m.train_loss)),
        ("Loss/validation", m.validation_loss),
        ("Loss/test", m.test_loss),
        ("Accuracy/train", Some(m.train_accuracy)),
        ("Accuracy/validation", m.validation_accuracy),
        ("Accuracy/test", m.test_accuracy),
        ("LearningRate", Some(f64::from(m.learning_rate))),
        ("Throughput/images_per_second", Some(m.images_per_second)),
    ]
    .into_iter()
    .filter_map(|(tag, value)| Some((tag, Value::Scalar(value? as f32))))
    .collect()
}

/// The hyperparameters that are text, printable.
struct Names {
    arch: String,
    data: String,
    recipe: String,
    dtype: String,
}

impl Names {
    fn of(config: &TrainConfig) -> Names {
        let TrainConfig { arch, data, recipe, .. } = config;
        Names {
            arch: arch.to_string(),
            data: brief(&data.name).to_string(),
            recipe: brief(&recipe.name).to_string(),
            dtype: recipe.dtype.to_string(),
        }
    }
}

/// The hyperparameters by which runs are compared.
fn hparams<'a>(config: &'a TrainConfig, names: &'a Names) -> [(&'static str, HParam<'a>); 12] {
    let recipe = &config.recipe;
    // The decimals of the command line.
    let decimal = |x: f32| HParam::Number(x.to_string().parse().unwrap_or(f64::from(x)));
    [
        ("arch", HParam::Name(&names.arch)),
        ("data", HParam::Name(&names.data)),
        ("recipe", HParam::Name(&names.recipe)),
        ("dtype", HParam::Name(&names.dtype)),
        ("epochs", HParam::Number(config.epochs() as f64)),
        ("batch_size", HParam::Number(recipe.batch_size as f64)),
        ("lr", HParam::Number(recipe.lr)),
        (
            "optimizer",
            HParam::Name(match recipe.muon {
                Some(_) => "Muon and SGD",
                None => recipe.optimizer.name(),
            }),
        ),
        ("momentum", decimal(recipe.optimizer.momentum())),
        ("weight_decay", decimal(recipe.optimizer.weight_decay())),
        ("label_smoothing", decimal(recipe.label_smoothing)),
        ("seed", HParam::Number(config.seed as f64)),
    ]
}
