//! Fits a run to a time budget.

use std::time::Duration;

use super::TrainError;
use crate::{Cpu, config::TrainConfig, data::Dataset};

/// Measured times of a configuration on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Seconds of one training step.
    pub step: f64,
    /// Seconds of evaluation and saving after an epoch.
    pub epoch_end: f64,
}

impl Speed {
    /// Steps that fit into a budget, evaluations and checkpoints included; at least 1.
    pub fn steps_within(&self, _budget: Duration, _steps_per_epoch: u64) -> u64 {
        todo!()
    }
}

/// Times a few training steps and evaluation batches of a configuration, on a network that is
/// thrown away. Takes some seconds.
pub fn measure(_config: &TrainConfig, _data: &Dataset, _cpu: &Cpu) -> Result<Speed, TrainError> {
    todo!()
}
