//! What a report says, as data.

use serde::{Deserialize, Serialize};

use crate::{Cell, Picture};

/// What a report is of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its heading; made from the runs where there is none.
    pub title: Option<String>,
    /// What wrote it, and when: `resnet 0.1.0, 24 November 2026`.
    pub written_by: String,
    /// The runs, with distinct names.
    pub runs: Vec<Run>,
}

/// A training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What it is called on the page; distinct from other runs.
    pub name: String,
    /// Name of the architecture.
    pub arch: String,
    /// Name of the data set.
    pub data: String,
    /// Images it is trained on.
    pub train_images: u64,
    /// Trainable parameters.
    pub parameters: u64,
    /// How far it is.
    pub state: State,
    /// Epochs in the whole run.
    pub epochs: u64,
    /// Figures of the epochs so far, in order.
    pub metrics: Vec<Epoch>,
    /// Every setting by its name; several runs are compared by them.
    pub settings: Vec<(String, String)>,
    /// Its configuration file.
    pub config: String,
    /// The command that gives the run again.
    pub command: String,
    /// What to know about that command.
    pub command_note: Option<String>,
    /// What it ran on, by label: instruction set, threads.
    pub machine: Vec<(String, String)>,
    /// What the network does on test images; nothing where that is unknown.
    pub evaluation: Option<Evaluation>,
    /// Why there is no evaluation, or what to know about it.
    pub note: Option<String>,
}

/// How far a run is.
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
}

/// Figures of an epoch: a line of `metrics.jsonl`. What is no number there is nothing here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean loss an image, over the epoch as it was trained.
    pub train_loss: Option<f64>,
    /// Accuracy over the epoch as it was trained, percent.
    pub train_accuracy: Option<f64>,
    /// Mean loss of a test image.
    pub test_loss: Option<f64>,
    /// Accuracy on test images, percent.
    pub test_accuracy: Option<f64>,
    /// Mean validation loss per image.
    #[serde(default, alias = "held_out_loss")]
    pub validation_loss: Option<f64>,
    /// Validation accuracy, percent.
    #[serde(default, alias = "held_out_accuracy")]
    pub validation_accuracy: Option<f64>,
    /// Learning rate of the epoch's last update.
    pub learning_rate: Option<f64>,
    /// Seconds of training.
    pub seconds: Option<f64>,
    /// Images trained on a second.
    pub images_per_second: Option<f64>,
}

/// What a network does on labelled images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The checkpoint: `best.safetensors, epoch 12`.
    pub checkpoint: String,
    /// Images.
    pub images: u64,
    /// Images whose likeliest class is theirs, percent.
    pub accuracy: f64,
    /// Images whose class is among the five likeliest, percent.
    pub top5_accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
    /// Expected calibration error, percent.
    pub calibration_error: f64,
    /// Images by their confidence, in fifteenths of its range; without those that are empty.
    pub reliability: Vec<Bin>,
    /// Class names, in label order.
    pub classes: Vec<String>,
    /// Images by their class and what was predicted: `[truth][predicted]`.
    pub confusion: Vec<Vec<u64>>,
    /// The first images.
    pub first: Vec<Example>,
    /// The most confident mistakes, most confident first.
    pub mistakes: Vec<Example>,
}

/// Images that the network is about equally sure of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// How many.
    pub images: u64,
    /// Those that are right, percent.
    pub accuracy: f64,
    /// Their mean confidence, percent.
    pub confidence: f64,
}

/// An image and what the network saw in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<u8>,
    /// The likeliest class.
    pub predicted: String,
    /// Its class.
    pub truth: String,
    /// Whether they are the same.
    pub correct: bool,
    /// Probability of the likeliest class, in [0, 1].
    pub confidence: f32,
}

impl Run {
    /// The last epoch's figures.
    pub fn last(&self) -> Option<&Epoch> {
        self.metrics.last()
    }

    /// The epoch of the highest test accuracy, the earliest of equals.
    pub fn best(&self) -> Option<&Epoch> {
        let known = self.metrics.iter().filter(|m| m.test_accuracy.is_some());
        known.rev().max_by(|a, b| a.test_accuracy.partial_cmp(&b.test_accuracy).expect("numbers"))
    }

    /// Seconds of training so far.
    pub fn seconds(&self) -> f64 {
        self.metrics.iter().filter_map(|m| m.seconds).sum()
    }

    /// Images trained on a second, over the whole run; nothing before its first epoch.
    pub fn images_per_second(&self) -> Option<f64> {
        let timed = |m: &Epoch| Some((m.images_per_second? * m.seconds?, m.seconds?));
        let (images, seconds) =
            self.metrics.iter().filter_map(timed).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        (seconds > 0.0).then(|| images / seconds)
    }
}

impl Evaluation {
    /// Images of a class, and those of them that are recognised.
    pub fn of_class(&self, class: usize) -> (u64, u64) {
        let row = self.confusion.get(class).map_or(&[][..], Vec::as_slice);
        (row.iter().sum(), row.get(class).copied().unwrap_or(0))
    }
}

impl From<Cell> for Example {
    fn from(cell: Cell) -> Example {
        let Cell { picture, predicted, truth, correct, confidence } = cell;
        let Picture { width, height, rgb } = picture;
        let confidence = confidence.unwrap_or_default();
        Example { width, height, rgb, predicted, truth, correct, confidence }
    }
}

impl From<&Example> for Cell {
    fn from(example: &Example) -> Cell {
        let Example { width, height, rgb, predicted, truth, correct, confidence } = example;
        Cell {
            picture: Picture::new(*width, *height, rgb.clone()),
            predicted: predicted.clone(),
            truth: truth.clone(),
            correct: *correct,
            confidence: Some(*confidence),
        }
    }
}
