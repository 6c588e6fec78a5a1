//! Runs a network on photos, for `predict`, `similar` and `serve`.

mod classifier;
mod inputs;
mod names;
mod predictor;

pub(crate) use classifier::{Classified, Classifier};
pub(crate) use inputs::Inputs;
pub(crate) use names::{file_name, json_name, label, quoted};
pub(crate) use predictor::predictor;
