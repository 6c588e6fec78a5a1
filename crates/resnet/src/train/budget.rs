//! Fits the length of a run to a time budget.

use std::{
    fs, io,
    ops::ControlFlow::{self, Break, Continue},
    path::Path,
    process,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use resnet_comm::Group;

use super::{StopFlag, TrainError, hello, shards::agree, state::initial_state, trainer::Trainer};
use crate::{
    Device, checkpoint,
    config::TrainConfig,
    data::{ImageSet, Parts},
    evaluate,
    model_file::SaveFormat,
    optim::{MuonRate, Rates},
};

/// Time for which steps are measured, about, in each part of the run, and the features of a frozen backbone.
const TIME_STEPS: Duration = Duration::from_secs(3);
/// The length of the run of which a step of each part is measured. Any would do.
const STEPS: u64 = 1 << 20;
/// The first steps are warm-up and do not count.
const WARM_UP: usize = 2;
/// The most steps to measure.
const MAX_STEPS: usize = 64;
/// Images on which evaluation is measured, of each process.
const EVALUATED: usize = 3 * evaluate::BATCH;

/// Measured speed of a configuration on this machine, or of several processes together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Time before the first step, in which the features of a frozen backbone are computed, seconds.
    pub start: f64,
    /// Mean time of a training step, seconds.
    pub step: f64,
    /// The same in the first epoch, in which photos are decoded that later epochs take from the cache.
    pub first_step: f64,
    /// Time of the evaluation after an epoch, and of its checkpoints, seconds.
    pub epoch_end: f64,
}

impl Speed {
    /// Steps that fit into a time budget, with what comes before them and after their epochs; at least 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// use resnet::train::Speed;
    /// let speed = Speed { start: 0.0, step: 0.5, first_step: 0.5, epoch_end: 5.0 };
    /// // An epoch of 10 steps takes 10 seconds.
    /// assert_eq!(speed.steps_within(Duration::from_secs(30), 10), 30);
    /// assert_eq!(speed.steps_within(Duration::from_secs(27), 10), 24);
    /// ```
    pub fn steps_within(&self, budget: Duration, steps_per_epoch: u64) -> u64 {
        let budget = (budget.as_secs_f64() - self.start).max(0.0);
        let epoch = |step: f64| step * steps_per_epoch as f64 + self.epoch_end;
        let part = |seconds: f64, step: f64| {
            let steps = ((seconds - self.epoch_end) / step).floor();
            (steps.max(0.0) as u64).min(steps_per_epoch)
        };
        let later = budget - epoch(self.first_step);
        if later < 0.0 {
            return part(budget, self.first_step).max(1);
        }
        let epochs = (later / epoch(self.step)).floor();
        let rest = part(later - epochs * epoch(self.step), self.step);
        (1 + epochs as u64) * steps_per_epoch + rest
    }

    /// The time of a number of steps, with what comes before them and after their epochs, seconds.
    pub fn seconds(&self, steps: u64, steps_per_epoch: u64) -> f64 {
        let first = steps.min(steps_per_epoch);
        let ends = steps.div_ceil(steps_per_epoch) as f64 * self.epoch_end;
        first as f64 * self.first_step + (steps - first) as f64 * self.step + ends + self.start
    }
}

/// Measures a few training steps and evaluation batches of a configuration, on a temporary network
/// and a part of the data, for each part of the run ([`Recipe::parts`](crate::recipe::Recipe::parts)).
/// Takes some seconds.
///
/// All processes of the group call it with the same configuration and data, and take the steps and evaluate
/// together: the times have the communication in them, and the slowest process decides. Each has its own clock, so
/// that only the speed of one of them can be the one to plan by. Process 0 alone reads the initial weights. Breaks
/// with the value of `stop` if that is set.
///
/// The process that writes the run names the folder in which checkpoints will be. One is written there, to
/// measure that too, and removed.
///
/// # Errors
/// As [`train_in_group`](super::train_in_group), before its first step. The caller then [ends](Group::abort) them all.
pub fn measure_in_group(
    group: &Group,
    config: &TrainConfig,
    data: &Parts,
    device: impl Into<Device>,
    stop: &StopFlag,
    folder: Option<&Path>,
) -> Result<ControlFlow<usize, Speed>, TrainError> {
    data.check()?;
    let device = device.into();
    let tests = |data: &Parts| data.test.as_ref().map_or(0, ImageSet::len);
    let validation = config.data.validation;
    let evaluated = tests(data) + validation;
    let all = config.data.train_images + evaluated;
    let is_cached = matches!(&data.train, ImageSet::Photos(photos) if photos.is_cached());
    let (config, sample) = sample(config, data, group.size());
    hello::check(group, &config, &sample, device.cpu())?;
    // All do the same, also where only some have a cache.
    let is_cached = agree(group, usize::from(is_cached))? != 0;
    let tested = tests(&sample) + sample.validation.as_ref().map_or(0, ImageSet::len);
    let init = config.init_from.as_deref().filter(|_| group.is_first());
    let mut trainer = Trainer::in_group(group, &config, sample, device, init)?;
    let stopped = || agree(group, stop.load(Relaxed));
    // Those of all images are computed before the first step.
    let features = trainer.time_features(TIME_STEPS, stop, all)?.unwrap_or(0.0) * all as f64;
    // Then no photo is read again.
    let is_cached = is_cached && !trainer.has_features;
    let (mut mean, mut decoding) = (0.0, 0.0);
    for (index, part) in config.recipe.parts().into_iter().enumerate() {
        let signal = stopped()?;
        if signal != 0 {
            return Ok(Break(signal));
        }
        let middle = (STEPS as f64 * (part.start + part.end) / 2.0) as u64;
        let mut time = |once| step_time(&mut trainer, &config, middle, once, stop);
        let first = time(is_cached)?;
        // The same photos again come from the cache, if there is one.
        let step = if is_cached { time(false)? } else { first };
        if index == 0 {
            decoding = f64::max(first - step, 0.0);
        }
        mean += (part.end - part.start) * step;
    }
    let start = Instant::now();
    trainer.evaluate(stop, &mut |_| {})?;
    let evaluation = start.elapsed().as_secs_f64() / tested.max(1) as f64;
    let signal = stopped()?;
    if signal != 0 {
        return Ok(Break(signal));
    }
    let saving = match folder {
        Some(folder) => saving_time(&trainer, folder, evaluated > 0)?,
        None => 0.0,
    };
    Ok(Continue(Speed {
        start: features,
        step: mean,
        first_step: mean + decoding,
        epoch_end: evaluation * evaluated as f64 + saving,
    }))
}

/// The time in which the files of an epoch are written to a folder, seconds: the last checkpoint, the best one if
/// the run may have a better one in every epoch, and PyTorch's files if it has them.
fn saving_time(trainer: &Trainer<'_>, folder: &Path, has_best: bool) -> Result<f64, TrainError> {
    let (config, device) = (trainer.config, trainer.device_name());
    let state = initial_state(config);
    let stored = trainer.stored()?;
    let checkpoint =
        writing_time(folder, |path| checkpoint::save(path, config, stored, &state, &device));
    let mut seconds = if has_best { 2.0 * checkpoint } else { checkpoint };
    if config.save_torch {
        for format in [SaveFormat::StateDict, SaveFormat::Checkpoint] {
            let model = trainer.torch_model(&state, format)?;
            seconds += writing_time(folder, |path| model.save(path, format));
        }
    }
    Ok(seconds)
}

/// The time in which a file is written to a folder, seconds. It is removed again. 0 where it cannot be written: the
/// run will say so.
fn writing_time(folder: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> f64 {
    let path = folder.join(format!(".resnet-speed-{}", process::id()));
    let start = Instant::now();
    let seconds = write(&path).map_or(0.0, |()| start.elapsed().as_secs_f64());
    let _ = fs::remove_file(&path);
    seconds
}

/// The mean time of steps at the image size of a step, and with the layers that train then, seconds.
/// It includes the time that they wait for their images. Each image is read `once`, or as often as time
/// allows. With `stop` set, it ends early.
fn step_time(
    trainer: &mut Trainer<'_>,
    config: &TrainConfig,
    step: u64,
    once: bool,
    stop: &StopFlag,
) -> Result<f64, TrainError> {
    let size = config.image_size_at(step);
    let muon = config.rates_at(step).muon.map(|rate| MuonRate { lr: 0.0, ..rate });
    let rates = Rates { lr: 0.0, muon };
    let mut batches = trainer.batches_of_size(size)?;
    let mut times = Vec::new();
    let start = Instant::now();
    let mut begun = start;
    loop {
        // The flag that processes stop by: all end with the step before which the time of one was over.
        let is_over = times.len() >= WARM_UP && start.elapsed() >= TIME_STEPS;
        let is_last = is_over || stop.load(Relaxed) != 0;
        if !trainer.step(&mut batches, step, rates, is_last.into())? {
            if let Some(error) = batches.take_error() {
                return Err(error.into());
            }
            if once && times.len() > WARM_UP {
                break;
            }
            batches = trainer.batches_of_size(size)?;
            continue;
        }
        trainer.update_average(step + times.len() as u64)?;
        // The time of a step is known when it is done, also on a GPU.
        let stepped = trainer.stepped(true)?.expect("a step was begun");
        let now = Instant::now();
        times.push((now - begun).as_secs_f64());
        begun = now;
        if stepped.stop != 0 {
            break;
        }
    }
    let steps = &times[WARM_UP.min(times.len() - 1)..];
    Ok(steps.iter().sum::<f64>() / steps.len() as f64)
}

/// The part of the data that so many processes measure on, and its configuration.
fn sample(config: &TrainConfig, data: &Parts, processes: usize) -> (TrainConfig, Parts) {
    let mut config = config.clone();
    let train = config.recipe.batch_size.saturating_mul(MAX_STEPS).min(config.data.train_images);
    let first = |set: &Option<ImageSet>| set.as_ref().map(|set| set.first(processes * EVALUATED));
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
        for first_step in [0.25, 2.5] {
            let speed = Speed { start: 4.0, step: 0.25, first_step, epoch_end: 3.0 };
            let time = |steps| speed.seconds(steps, 7);
            assert_eq!(time(15), 4.0 + 7.0 * first_step + 8.0 * 0.25 + 3.0 * 3.0);
            for budget in 10..500 {
                let steps = speed.steps_within(Duration::from_secs(budget), 7);
                assert!(time(steps) <= budget as f64, "{steps} steps in {budget} s");
                assert!(time(steps + 1) > budget as f64, "{steps} steps in {budget} s");
            }
        }
    }

    #[test]
    fn a_run_has_a_step_however_short() {
        let speed = Speed { start: 0.0, step: 10.0, first_step: 20.0, epoch_end: 60.0 };
        assert_eq!(speed.steps_within(Duration::from_secs(1), 100), 1);
        let late = Speed { start: 30.0, step: 0.1, first_step: 0.1, epoch_end: 0.0 };
        assert_eq!([1, 30, 31].map(|s| late.steps_within(Duration::from_secs(s), 100)), [1, 1, 10]);
    }
}
