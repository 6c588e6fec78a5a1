//! Fits the length of a run to a time budget.

use std::time::{Duration, Instant};

use super::{StopFlag, TrainError, trainer::Trainer};
use crate::{
    Cpu,
    config::TrainConfig,
    data::{ImageSet, Parts},
    evaluate,
    optim::{MuonRate, Rates},
};

/// Time for which steps are measured, about, in each part of the run.
const TIME_STEPS: Duration = Duration::from_secs(3);
/// The length of the run of which a step of each part is measured. Any would do.
const STEPS: u64 = 1 << 20;
/// The first steps are warm-up and do not count.
const WARM_UP: usize = 2;
/// The most steps to measure.
const MAX_STEPS: usize = 64;
/// Images on which evaluation is measured.
const EVALUATED: usize = 3 * evaluate::BATCH;

/// Measured speed of a configuration on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Mean time of a training step, seconds.
    pub step: f64,
    /// Time of the evaluation after an epoch, seconds.
    pub epoch_end: f64,
}

impl Speed {
    /// Steps that fit into a time budget, with the evaluations after their epochs; at least 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use resnet::train::Speed;
    /// let speed = Speed { step: 0.5, epoch_end: 5.0 };
    /// // An epoch of 10 steps takes 10 seconds.
    /// assert_eq!(speed.steps_within(Duration::from_secs(30), 10), 30);
    /// assert_eq!(speed.steps_within(Duration::from_secs(27), 10), 24);
    /// ```
    pub fn steps_within(&self, budget: Duration, steps_per_epoch: u64) -> u64 {
        let budget = budget.as_secs_f64();
        let epoch = self.step * steps_per_epoch as f64 + self.epoch_end;
        let epochs = (budget / epoch).floor();
        let rest = ((budget - epochs * epoch - self.epoch_end) / self.step).floor();
        let steps = epochs as u64 * steps_per_epoch + (rest.max(0.0) as u64).min(steps_per_epoch);
        steps.max(1)
    }

    /// The time of a number of steps, with the evaluations after their epochs, seconds.
    pub fn seconds(&self, steps: u64, steps_per_epoch: u64) -> f64 {
        steps as f64 * self.step + steps.div_ceil(steps_per_epoch) as f64 * self.epoch_end
    }
}

/// Measures a few training steps and evaluation batches of a configuration, on a temporary network
/// and a part of the data, for each part of the run ([`Recipe::parts`](crate::recipe::Recipe::parts)).
/// Takes some seconds.
///
/// # Errors
/// As [`train`](super::train), before its first step.
pub fn measure(config: &TrainConfig, data: &Parts, cpu: &Cpu) -> Result<Speed, TrainError> {
    let tests = |data: &Parts| data.test.as_ref().map_or(0, ImageSet::len);
    let validation = config.data.validation;
    let (config, sample) = sample(config, data);
    let tested = tests(&sample) + sample.validation.as_ref().map_or(0, ImageSet::len);
    let mut trainer = Trainer::new(&config, sample, cpu, config.init_from.as_deref())?;
    let mut mean = 0.0;
    for part in config.recipe.parts() {
        let middle = (STEPS as f64 * (part.start + part.end) / 2.0) as u64;
        mean += (part.end - part.start) * step_time(&mut trainer, &config, middle)?;
    }
    let start = Instant::now();
    trainer.evaluate(&StopFlag::new(0), &mut |_| {})?;
    let evaluation = start.elapsed().as_secs_f64();
    Ok(Speed {
        step: mean,
        epoch_end: evaluation * (tests(data) + validation) as f64 / tested.max(1) as f64,
    })
}

/// The mean time of steps at the image size of a step, and with the layers that train then, seconds.
fn step_time(
    trainer: &mut Trainer<'_>,
    config: &TrainConfig,
    step: u64,
) -> Result<f64, TrainError> {
    let size = config.image_size_at(step);
    let muon = config.rates_at(step).muon.map(|rate| MuonRate { lr: 0.0, ..rate });
    let rates = Rates { sgd: 0.0, muon };
    let mut batches = trainer.batches_of_size(size)?;
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < TIME_STEPS || times.len() <= WARM_UP {
        let Some(batch) = batches.next() else {
            if let Some(error) = batches.take_error() {
                return Err(error.into());
            }
            batches = trainer.batches_of_size(size)?;
            continue;
        };
        let begun = Instant::now();
        trainer.step(&batch, step, rates)?;
        times.push(begun.elapsed().as_secs_f64());
        batches.recycle(batch);
    }
    let steps = &times[WARM_UP.min(times.len() - 1)..];
    Ok(steps.iter().sum::<f64>() / steps.len() as f64)
}

/// The part of the data to measure on, and its configuration.
fn sample(config: &TrainConfig, data: &Parts) -> (TrainConfig, Parts) {
    let mut config = config.clone();
    let train = config.recipe.batch_size.saturating_mul(MAX_STEPS).min(config.data.train_images);
    let first = |set: &Option<ImageSet>| set.as_ref().map(|set| set.first(EVALUATED));
    let sample = Parts {
        name: data.name.clone(),
        classes: data.classes.clone(),
        normalisation: data.normalisation.clone(),
        train: data.train.first(train),
        validation: first(&data.validation),
        own_validation: data.own_validation,
        test: first(&data.test),
    };
    config.data.train_images = train;
    config.data.validation = sample.validation.as_ref().map_or(0, ImageSet::len);
    config.total_steps = STEPS;
    config.earlier_lengths.clear();
    (config, sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_takes_no_longer_and_one_more_step_would() {
        let speed = Speed { step: 0.25, epoch_end: 3.0 };
        let time = |steps| speed.seconds(steps, 7);
        assert_eq!(time(15), 15.0 * 0.25 + 3.0 * 3.0);
        for budget in 5..500 {
            let steps = speed.steps_within(Duration::from_secs(budget), 7);
            assert!(time(steps) <= budget as f64, "{steps} steps in {budget} s");
            assert!(time(steps + 1) > budget as f64, "{steps} steps in {budget} s");
        }
    }

    #[test]
    fn a_run_has_a_step_however_short() {
        let speed = Speed { step: 10.0, epoch_end: 60.0 };
        assert_eq!(speed.steps_within(Duration::from_secs(1), 100), 1);
    }
}
