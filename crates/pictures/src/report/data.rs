//! The data of a report.

use serde::{Deserialize, Serialize};

use crate::{Cell, Picture};

/// A report of one run or several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its title; by default made from the runs.
    pub title: Option<String>,
    /// The program and the date: `resnet 0.1.0 on 2026-11-24`.
    pub written_by: String,
    /// The runs, with distinct names.
    pub runs: Vec<Run>,
}

/// A training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name on the page; distinct from other runs.
    pub name: String,
    /// Name of the architecture.
    pub arch: String,
    /// Name of the data set.
    pub data: String,
    /// Number of training images.
    pub train_images: u64,
    /// Trainable parameters.
    pub parameters: u64,
    /// Its state.
    pub state: State,
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Metrics of the epochs so far, in order.
    pub metrics: Vec<Epoch>,
    /// Names and values of all settings; runs are compared by them.
    pub settings: Vec<(String, String)>,
    /// Its configuration file.
    pub config: String,
    /// The command that reproduces the run.
    pub command: String,
    /// A note about that command.
    pub command_note: Option<String>,
    /// Labels and values of the machine: instruction set, threads.
    pub machine: Vec<(String, String)>,
    /// The evaluation of its network, if there is one.
    pub evaluation: Option<Evaluation>,
    /// Why there is no evaluation, or a note about it.
    pub note: Option<String>,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All its epochs are done.
    #[default]
    Finished,
    /// It is being trained.
    Training,
    /// It was stopped before its last epoch.
    Stopped,
    /// It ended because its numbers were no longer finite.
    Diverged,
}

/// The metrics of an epoch: a line of `metrics.jsonl`. `null` becomes none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean training loss per image, over the epoch.
    pub train_loss: Option<f64>,
    /// Training accuracy over the epoch, percent.
    pub train_accuracy: Option<f64>,
    /// Mean loss per test image.
    pub test_loss: Option<f64>,
    /// Accuracy on test images, percent.
    pub test_accuracy: Option<f64>,
    /// Mean validation loss per image.
    #[serde(default, alias = "held_out_loss")]
    pub validation_loss: Option<f64>,
    /// Validation accuracy, percent.
    #[serde(default, alias = "held_out_accuracy")]
    pub validation_accuracy: Option<f64>,
    /// Images that the best epoch is chosen on, if the run states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_images: Option<u64>,
    /// What the best epoch is chosen by, if that is not the accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_by: Option<ChosenBy>,
    /// Learning rate of the epoch's last update.
    pub learning_rate: Option<f64>,
    /// Seconds of training.
    pub seconds: Option<f64>,
    /// Training images per second.
    pub images_per_second: Option<f64>,
}

/// The value of another metric than the accuracy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChosenBy {
    /// Its name in `metrics.jsonl`: `f1` or `balanced`.
    pub metric: String,
    /// The value, percent.
    pub value: f64,
}

impl ChosenBy {
    /// Its name in a sentence.
    pub fn name(&self) -> &str {
        match &*self.metric {
            "f1" => "F1",
            "balanced" => "balanced accuracy",
            other => other,
        }
    }
}

/// A part of a data set, on which a network is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The images to test on.
    #[default]
    Test,
    /// Those of the validation set.
    Validation,
    /// All images of a folder without parts.
    Whole,
}

impl Part {
    /// The word before `accuracy`, `loss` and `image`, with a space behind it: `"test "`.
    pub fn word(self) -> &'static str {
        match self {
            Part::Test => "test ",
            Part::Validation => "validation ",
            Part::Whole => "",
        }
    }
}

/// The evaluation of a network on labelled images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The checkpoint: `best.safetensors, epoch 12`.
    pub checkpoint: String,
    /// What images they are.
    #[serde(default)]
    pub part: Part,
    /// Number of images.
    pub images: u64,
    /// Top-1 accuracy, percent.
    pub accuracy: f64,
    /// Top-5 accuracy, percent.
    pub top5_accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
    /// Expected calibration error (ECE), percent.
    pub calibration_error: f64,
    /// Mean accuracy of the classes that have images, percent.
    pub balanced_accuracy: f64,
    /// Scores of each class, in label order.
    pub scores: Vec<Scores>,
    /// Their mean.
    pub macro_average: Scores,
    /// Their mean, weighted by the images of each class.
    pub weighted_average: Scores,
    /// The non-empty ones of 15 equal confidence bins.
    pub reliability: Vec<Bin>,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// The confusion matrix: images by `[truth][predicted]`.
    pub confusion: Vec<Vec<u64>>,
    /// The first images.
    pub first: Vec<Example>,
    /// The most confident mistakes, most confident first.
    pub mistakes: Vec<Example>,
}

/// Precision, recall and F1, percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Correct ones of the images predicted as a class.
    pub precision: f64,
    /// Correct ones of the images of a class: its accuracy.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

/// The images of a confidence bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Number of images.
    pub images: u64,
    /// Their accuracy, percent.
    pub accuracy: f64,
    /// Their mean confidence, percent.
    pub confidence: f64,
}

/// An image with its predicted and its true class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
    /// The predicted class.
    pub predicted: String,
    /// The true class.
    pub truth: String,
    /// Whether both are the same.
    pub correct: bool,
    /// Probability of the predicted class, in [0, 1].
    pub confidence: f32,
    /// The path of its file, of a photo.
    pub file: Option<String>,
}

impl Run {
    /// The metrics of the last epoch.
    pub fn last(&self) -> Option<&Epoch> {
        self.metrics.last()
    }

    /// The images by which the run is judged: those to test on, or else its validation set.
    pub fn part(&self) -> Part {
        let is_tested = self.metrics.iter().any(|epoch| epoch.test_accuracy.is_some());
        if self.is_validated() && !is_tested { Part::Validation } else { Part::Test }
    }

    /// The accuracy of an epoch on the images by which the run is judged, percent.
    pub fn accuracy(&self, epoch: &Epoch) -> Option<f64> {
        match self.part() {
            Part::Validation => epoch.validation_accuracy,
            Part::Test | Part::Whole => epoch.test_accuracy,
        }
    }

    /// The loss of an epoch on the images by which the run is judged.
    pub fn loss(&self, epoch: &Epoch) -> Option<f64> {
        match self.part() {
            Part::Validation => epoch.validation_loss,
            Part::Test | Part::Whole => epoch.test_loss,
        }
    }

    /// Whether the best epoch was chosen on a validation set.
    pub fn is_validated(&self) -> bool {
        self.metrics.iter().any(|epoch| epoch.validation_accuracy.is_some())
    }

    /// The epoch that the run chose: that with the most of what it chose by, or with the highest accuracy on its
    /// validation set, or else on the test set; the earliest of equals. Of those since the number of evaluated images
    /// last changed, where photos went missing or came back.
    pub fn best(&self) -> Option<&Epoch> {
        let has_other = self.metrics.iter().any(|epoch| epoch.chosen_by.is_some());
        let score = |epoch: &Epoch| match (has_other, self.is_validated()) {
            (true, _) => epoch.chosen_by.as_ref().map(|other| other.value),
            (false, true) => epoch.validation_accuracy,
            (false, false) => epoch.test_accuracy,
        };
        // As training compares them.
        let images = self.metrics.last()?.evaluated_images;
        let compares = |epoch: &Epoch| {
            images.is_none_or(|images| epoch.evaluated_images.is_none_or(|n| n == images))
        };
        let other = self.metrics.iter().rposition(|epoch| !compares(epoch));
        let comparable = &self.metrics[other.map_or(0, |index| index + 1)..];
        let known = comparable.iter().filter(|&epoch| score(epoch).is_some());
        let order = |a: &Epoch, b: &Epoch| score(a).partial_cmp(&score(b)).expect("numbers");
        known.rev().max_by(|&a, &b| order(a, b))
    }

    /// Seconds of training so far.
    pub fn seconds(&self) -> f64 {
        self.metrics.iter().filter_map(|m| m.seconds).sum()
    }

    /// Mean training throughput over the run, in images per second; none before its first epoch.
    pub fn images_per_second(&self) -> Option<f64> {
        let timed = |m: &Epoch| Some((m.images_per_second? * m.seconds?, m.seconds?));
        let (images, seconds) =
            self.metrics.iter().filter_map(timed).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        (seconds > 0.0).then(|| images / seconds)
    }
}

impl Evaluation {
    /// Number of images of a class, and of those predicted correctly.
    pub fn of_class(&self, class: usize) -> (u64, u64) {
        let row = self.confusion.get(class).map_or(&[][..], Vec::as_slice);
        (row.iter().sum(), row.get(class).copied().unwrap_or(0))
    }
}

impl From<Cell> for Example {
    fn from(cell: Cell) -> Example {
        let Cell { picture, predicted, truth, correct, confidence, file } = cell;
        let Picture { width, height, rgb } = picture;
        let confidence = confidence.unwrap_or_default();
        Example { width, height, rgb, predicted, truth, correct, confidence, file }
    }
}

impl From<&Example> for Cell {
    fn from(example: &Example) -> Cell {
        let Example { width, height, rgb, predicted, truth, correct, confidence, file } = example;
        Cell {
            picture: Picture::new(*width, *height, rgb.clone()),
            predicted: predicted.clone(),
            truth: truth.clone(),
            correct: *correct,
            confidence: Some(*confidence),
            file: file.clone(),
        }
    }
}
