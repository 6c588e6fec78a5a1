//! Runs a network on photos, for `predict` and `similar`.

mod classifier;
mod inputs;
mod names;

pub(crate) use classifier::{Classified, Classifier, Computes};
pub(crate) use inputs::Inputs;
pub(crate) use names::{file_name, label, quoted};
