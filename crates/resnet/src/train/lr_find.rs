//! The learning rate range test (Smith 2015, arXiv 1506.01186), as fastai's `lr_find` does it.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::{StopFlag, TrainError, trainer::Trainer};
use crate::{
    Device,
    config::TrainConfig,
    data::Parts,
    metrics::State,
    optim::{Muon, MuonRate, Rates},
    recipe::Recipe,
};

/// The rates that are tried: step `i` of `steps` has the rate `start * (end / start)^(i / steps)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrRange {
    /// The first rate.
    pub start: f64,
    /// The rate after the last step.
    pub end: f64,
    /// How many steps there are.
    pub steps: u64,
}

/// fastai's numbers.
impl Default for LrRange {
    fn default() -> Self {
        LrRange { start: 1e-7, end: 10.0, steps: 100 }
    }
}

impl LrRange {
    fn lr(&self, step: u64) -> f64 {
        self.start * (self.end / self.start).powf(step as f64 / self.steps as f64)
    }
}

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LrPoint {
    /// Its learning rate.
    pub learning_rate: f64,
    /// The loss of its batch.
    pub loss: f64,
    /// The smoothed loss: an exponential moving average with weight 0.98, divided by the sum of its
    /// weights.
    pub smoothed_loss: f64,
}

/// Loss by learning rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LrCurve {
    /// The steps, in order.
    pub points: Vec<LrPoint>,
    /// fastai's `valley`: a rate two thirds into the longest fall of the loss. None if there are too few
    /// steps.
    pub valley: Option<f64>,
    /// fastai's `steep`: the rate at which the loss falls most steeply over the logarithm of the rate.
    pub steepest: Option<f64>,
    /// Whether the test ended early, because the loss diverged.
    pub diverged: bool,
    /// Messages about weights and photos.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Weight of the earlier losses.
const BETA: f64 = 0.98;
/// How many times the best smoothed loss ends the test.
const DIVERGED: f64 = 4.0;
/// Of so many steps the first one is left out of the suggestions.
const SKIPPED: u64 = 10;
/// As many of the last steps, too.
const LAST: usize = 5;

/// Does the first steps of a run with rates that grow from step to step, and ends when the loss diverges
/// or `stop` is set. `listen` gets the number of each step, from 1 on. No file is written, and the same
/// seed gives the same curve.
///
/// # Errors
/// As [`train`](super::train), before its first step; and if photos can no longer be read.
pub fn lr_find(
    config: &TrainConfig,
    data: impl Into<Parts>,
    range: LrRange,
    device: impl Into<Device>,
    stop: &StopFlag,
    listen: &mut dyn FnMut(u64),
) -> Result<LrCurve, TrainError> {
    let total_steps = config.total_steps.max(range.steps);
    let mut config = TrainConfig { total_steps, earlier_lengths: Vec::new(), ..config.clone() };
    // The layers that train in the first step do so in all of them: losses of other layers are no curve.
    for freeze in config.recipe.freeze.iter_mut().filter(|freeze| freeze.from == 0.0) {
        freeze.until = None;
    }
    let mut trainer = Trainer::new(&config, data.into(), device, config.init_from.as_deref())?;
    trainer.whiten()?;
    let mut curve = LrCurve { notes: trainer.notes().to_vec(), ..LrCurve::default() };
    let mut smoothing = Smoothing::default();
    let mut step = 0;
    'epochs: for epoch in 1.. {
        let (first, end) = config.steps_of_epoch(epoch);
        let mut batches = trainer.batches(&State::new(epoch, first))?;
        while step < end {
            if step == range.steps || stop.load(Relaxed) != 0 {
                break 'epochs;
            }
            let lr = range.lr(step);
            if !trainer.step(&mut batches, step, rates(&config.recipe, lr, step), 0)? {
                let error = batches.take_error().expect("the loader has a batch for every step");
                return Err(error.into());
            }
            let stepped = trainer.stepped(true)?.expect("a step was begun");
            step += 1;
            listen(step);
            let result = stepped.result;
            // None of its photos can be used.
            if stepped.images == 0 {
                continue;
            }
            let smoothed_loss = smoothing.add(result.loss);
            curve.points.push(LrPoint { learning_rate: lr, loss: result.loss, smoothed_loss });
            if smoothing.has_diverged() {
                curve.diverged = true;
                break 'epochs;
            }
        }
        if step == range.steps {
            break;
        }
    }
    curve.notes.extend(trainer.take_notes());
    curve.suggest(range);
    Ok(curve)
}

/// The rates of a step whose base rate is another than the recipe's.
fn rates(recipe: &Recipe, lr: f64, step: u64) -> Rates {
    let of_muon = |muon: Muon| MuonRate { lr: muon.lr as f32, rescale: muon.rescales_at(step) };
    Rates { lr: lr as f32, muon: recipe.muon_at(lr).map(of_muon) }
}

/// The moving average of the losses.
#[derive(Clone, Copy, Debug, Default)]
struct Smoothing {
    sum: f64,
    weights: f64,
    best: Option<f64>,
}

impl Smoothing {
    fn add(&mut self, loss: f64) -> f64 {
        self.sum = BETA * self.sum + (1.0 - BETA) * loss;
        self.weights = BETA * self.weights + (1.0 - BETA);
        let smoothed = self.value();
        self.best = Some(self.best.map_or(smoothed, |best| best.min(smoothed)));
        smoothed
    }

    fn value(&self) -> f64 {
        self.sum / self.weights
    }

    fn has_diverged(&self) -> bool {
        let value = self.value();
        !value.is_finite() || self.best.is_some_and(|best| value > DIVERGED * best)
    }
}

impl LrCurve {
    /// Suggests rates, without the first and last steps, whose losses say little.
    fn suggest(&mut self, range: LrRange) {
        let first = (range.steps / SKIPPED) as usize;
        let end = self.points.len().saturating_sub(LAST);
        let points = self.points.get(first..end).unwrap_or_default();
        let finite = points.iter().take_while(|point| point.smoothed_loss.is_finite());
        let (rates, losses): (Vec<f64>, Vec<f64>) =
            finite.map(|point| (point.learning_rate, point.smoothed_loss)).unzip();
        self.valley = valley(&losses).map(|index| rates[index]);
        self.steepest = steepest(&rates, &losses).map(|index| rates[index]);
    }
}

/// The point that fastai takes of the longest fall: as many points before its end as the longest
/// decreasing subsequence that ends there has, and of these the one after two thirds, less a half of a
/// third.
fn valley(losses: &[f64]) -> Option<usize> {
    // The length of the longest decreasing subsequence that ends at each point.
    let mut lengths: Vec<usize> = Vec::with_capacity(losses.len());
    for (i, loss) in losses.iter().enumerate() {
        let before = (0..i).filter(|&j| losses[j] > *loss).map(|j| lengths[j]).max();
        lengths.push(before.unwrap_or(0) + 1);
    }
    let longest = *lengths.iter().max()?;
    let end = lengths.iter().position(|&length| length == longest)?;
    let third = longest as f64 / 3.0;
    let after = third as usize + (third / 2.0) as usize;
    Some((end + after).saturating_sub(longest))
}

/// The point after which the loss falls most over the logarithm of the rate.
fn steepest(rates: &[f64], losses: &[f64]) -> Option<usize> {
    let slope = |i: usize| (losses[i + 1] - losses[i]) / (rates[i + 1].ln() - rates[i].ln());
    (0..losses.len().saturating_sub(1)).min_by(|&a, &b| slope(a).total_cmp(&slope(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu,
        config::tests::sample,
        data::{Dataset, LoadOptions, load},
    };

    #[test]
    fn rates_grow_by_one_factor() {
        let range = LrRange::default();
        assert_eq!(range.lr(0), 1e-7);
        for (step, lr) in [(50, 1e-3), (100, 10.0)] {
            assert!((range.lr(step) / lr - 1.0).abs() < 1e-12);
        }
        assert!((range.lr(1) / range.lr(0) - 1e8f64.powf(0.01)).abs() < 1e-12);
    }

    #[test]
    fn muon_stays_in_proportion_to_any_rate_but_zero() {
        let mut recipe = sample().recipe;
        recipe.muon = Some(Muon { lr: 0.2, ..Muon::default() });
        for (lr, expected) in [(0.5, 0.1), (0.0, 0.2)] {
            recipe.lr = lr;
            assert_eq!(rates(&recipe, 0.25, 0).muon.unwrap().lr, expected);
            let mut changed = recipe.clone();
            changed.set_lr(0.25);
            assert_eq!(changed.muon.unwrap().lr as f32, expected);
        }
    }

    #[test]
    fn the_average_is_free_of_bias() {
        let mut smoothing = Smoothing::default();
        for _ in 0..9 {
            assert!((smoothing.add(2.5) - 2.5).abs() < 1e-12);
        }
        // By its definition: 0.02 * sum of 0.98^(n - 1 - i) x_i, divided by 1 - 0.98^n.
        let losses = [2.0, 1.0, 4.0, 3.0];
        let mut smoothing = Smoothing::default();
        for n in 1..=4 {
            let smoothed = smoothing.add(losses[n - 1]);
            let sum: f64 = (0..n).map(|i| 0.98f64.powi((n - 1 - i) as i32) * losses[i]).sum();
            let expected = 0.02 * sum / (1.0 - 0.98f64.powi(n as i32));
            assert!((smoothed - expected).abs() < 1e-12);
        }
        assert!(!smoothing.has_diverged());
        assert!(smoothing.add(1e3) > 8.0 && smoothing.has_diverged());
        let mut smoothing = Smoothing::default();
        smoothing.add(f64::NAN);
        assert!(smoothing.has_diverged());
    }

    /// Every decreasing subsequence, by brute force.
    fn longest_fall(losses: &[f64]) -> (usize, usize) {
        let mut best = (0, 0);
        for chosen in 1u32..1 << losses.len() {
            let taken: Vec<usize> = (0..losses.len()).filter(|i| chosen >> i & 1 == 1).collect();
            let end = taken[taken.len() - 1];
            let falls = taken.is_sorted_by(|&a, &b| losses[a] > losses[b]);
            if falls && (taken.len() > best.0 || taken.len() == best.0 && end < best.1) {
                best = (taken.len(), end);
            }
        }
        best
    }

    #[test]
    fn the_valley_is_two_thirds_into_the_longest_fall() {
        // Flat, then 30 steps down from point 20 on, then up: 31 points fall, the last at 50.
        let loss = |i: usize| match i {
            0..=20 => 1.0,
            21..=50 => 1.0 - 0.02 * (i - 20) as f64,
            _ => 0.4 + 0.1 * (i - 50) as f64,
        };
        let losses: Vec<f64> = (0..80).map(loss).collect();
        assert_eq!(valley(&losses), Some(50 - 31 + 10 + 5));
        assert_eq!((valley(&[]), valley(&[3.0]), valley(&[1.0, 2.0])), (None, Some(0), Some(0)));
        let mut random = crate::random::Random::new(1, crate::random::Purpose::Show, &[]);
        for _ in 0..50 {
            let mut losses: Vec<f64> = (0..12).map(f64::from).collect();
            random.shuffle(&mut losses);
            let (length, end) = longest_fall(&losses);
            let third = length as f64 / 3.0;
            let after = third.floor() as usize + (third / 2.0).floor() as usize;
            assert_eq!(valley(&losses), Some((end + after).saturating_sub(length)), "{losses:?}");
        }
    }

    #[test]
    fn the_steepest_fall_is_over_the_logarithm() {
        let rates = [0.1, 1.0, 2.0, 20.0];
        // Slopes: -1/ln 10, -0.6/ln 2, -1.9/ln 10.
        assert_eq!(steepest(&rates, &[4.0, 3.0, 2.4, 0.5]), Some(1));
        assert_eq!(steepest(&rates[..1], &[4.0]), None);
    }

    fn data(config: &mut TrainConfig) -> Dataset {
        let options =
            LoadOptions { limit_train: Some(64), limit_test: Some(4), ..Default::default() };
        let set = load("synthetic", &options).unwrap();
        config.recipe.batch_size = 16;
        config.data.classes.clone_from(&set.classes);
        (config.data.train_images, config.data.validation) = (48, 16);
        config.total_steps = 6;
        set
    }

    #[test]
    fn a_curve_is_that_of_its_seed_and_longer_than_a_run() {
        let mut config = sample();
        let set = data(&mut config);
        let range = LrRange { steps: 20, ..LrRange::default() };
        let run = |config: &TrainConfig, threads| {
            let (mut seen, stop) = (0, StopFlag::new(0));
            let cpu = Cpu::new(threads).unwrap();
            let listen = &mut |step| seen = step;
            let curve = lr_find(config, set.clone(), range, &cpu, &stop, listen).unwrap();
            assert_eq!(seen as usize, curve.points.len());
            curve
        };
        let curve = run(&config, 1);
        assert!(curve.points.len() == 20 || curve.diverged);
        assert!(curve.points.len() > config.total_steps as usize);
        assert_eq!(curve, run(&config, 2));
        config.seed += 1;
        assert_ne!(curve, run(&config, 1));
        let stopped = StopFlag::new(2);
        let curve =
            lr_find(&config, set.clone(), range, &Cpu::new(1).unwrap(), &stopped, &mut |_| {});
        assert!(curve.unwrap().points.is_empty());
    }
}
