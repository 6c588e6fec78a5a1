//! Times of steps that processes share, for benchmarks.

use std::time::{Duration, Instant};

use resnet_comm::Group;

use super::{TrainError, hello, shards::Repeated, trainer::Trainer};
use crate::{Cpu, config::TrainConfig, data::Parts};

/// The time of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// All of it.
    pub step: Duration,
    /// Of it, how long this process waited for others, and took in what they sent.
    pub waited: Duration,
}

/// Times steps on the first batch of an epoch, again and again for `time` after so many steps of `warm_up`. All
/// processes of the group call it with the same configuration and data.
///
/// # Errors
/// As [`train_in_group`](super::train_in_group), before its first step. The caller then [ends](Group::abort) them all.
pub fn step_times(
    group: &Group,
    config: &TrainConfig,
    data: impl Into<Parts>,
    cpu: &Cpu,
    warm_up: usize,
    time: Duration,
) -> Result<Vec<StepTime>, TrainError> {
    let data = data.into();
    hello::check(group, config, &data, cpu)?;
    let mut trainer = Trainer::in_group(group, config, data, cpu, None)?;
    let mut batches = trainer.batches_of_size(config.image_size_at(0))?;
    let mut shards = Repeated(batches.by_ref().take(trainer.shards.own().len()).collect());
    if let Some(error) = batches.take_error() {
        return Err(error.into());
    }
    // Nothing is loaded meanwhile.
    drop(batches);
    let (mut times, mut start) = (Vec::new(), Instant::now());
    loop {
        let begun = Instant::now();
        if times.len() == warm_up {
            start = begun;
        }
        // The flag that processes stop by: all end with the step before which the time of one was over.
        let is_last = times.len() >= warm_up && start.elapsed() >= time;
        trainer.step(&mut shards, 0, config.rates_at(0), is_last.into())?;
        let stepped = trainer.stepped(true)?.expect("a step was begun");
        times.push(StepTime { step: begun.elapsed(), waited: stepped.waited });
        if stepped.stop != 0 {
            times.drain(..warm_up);
            return Ok(times);
        }
    }
}
