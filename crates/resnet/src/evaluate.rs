//! Accuracy and loss on labelled images.

use serde::Serialize;

use crate::{
    Cpu,
    checkpoint::Model,
    data::{Images, Normalisation},
    plan::PlanError,
};

/// What a network does on labelled images (`resnet eval --json`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Images whose largest logit is the label's, percent.
    pub accuracy: f64,
    /// Images whose label is among the five largest logits, percent.
    pub top5_accuracy: f64,
    /// Mean cross entropy an image.
    pub loss: f64,
    /// How many images.
    pub images: usize,
    /// Time it took.
    pub seconds: f64,
    /// The same by class, in label order.
    pub per_class: Vec<ClassAccuracy>,
}

/// How well one class is recognised.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// Its name.
    pub class: String,
    /// Images of it.
    pub images: usize,
    /// Images of it that are recognised, percent; 0 if there are none.
    pub accuracy: f64,
}

/// Evaluates a model on images, in batches, calling `progress` with the images done after each.
pub fn evaluate(
    _model: &Model,
    _images: &Images,
    _normalisation: &Normalisation,
    _cpu: &Cpu,
    _progress: &mut dyn FnMut(usize),
) -> Result<Evaluation, PlanError> {
    todo!()
}
