//! The results of an evaluation.

use serde::Serialize;

use super::tta::TtaResult;
use crate::predictions::{Confusion, Scores};

/// Accuracy and loss of a network on labelled images (`resnet eval --json`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Top-1 accuracy: images whose largest logit is the label's, percent.
    pub accuracy: f64,
    /// The accuracy with test-time augmentation, if one was asked for. All other numbers are those of
    /// the plain images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tta: Option<TtaResult>,
    /// Top-5 accuracy: images whose label is among the five largest logits, percent.
    pub top5_accuracy: f64,
    /// Mean cross entropy per image (`torch.nn.functional.cross_entropy`).
    pub loss: f64,
    /// Expected calibration error, percent: see [`Calibration`](crate::predictions::Calibration).
    pub calibration_error: f64,
    /// Number of images.
    pub images: usize,
    /// Time of the evaluation, seconds.
    pub seconds: f64,
    /// Mean accuracy of the classes that have images, percent (scikit-learn's
    /// `balanced_accuracy_score`).
    pub balanced_accuracy: f64,
    /// Mean F1 of all classes, percent: that of `macro`.
    pub f1: f64,
    /// Mean scores of all classes.
    #[serde(rename = "macro")]
    pub macro_average: Scores,
    /// Mean scores of the classes, weighted by their images.
    #[serde(rename = "weighted")]
    pub weighted_average: Scores,
    /// Accuracy and scores by class, in label order.
    pub per_class: Vec<ClassResult>,
    /// The confusion matrix: a row for each label, a column for each prediction.
    pub confusion: Confusion,
}

/// Accuracy and scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassResult {
    /// Name of the class.
    pub class: String,
    /// Images of the class.
    pub images: usize,
    /// Top-1 accuracy on these images, percent; 0 if there are none.
    pub accuracy: f64,
    /// Precision, recall and F1.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Accuracy and loss of probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Top-1 accuracy, percent.
    pub accuracy: f64,
    /// Top-5 accuracy, percent.
    pub top5_accuracy: f64,
    /// Mean of `-log p`, of the probability of the label.
    pub loss: f64,
    /// Number of images.
    pub images: usize,
}
