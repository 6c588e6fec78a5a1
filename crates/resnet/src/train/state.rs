//! Where a run stands: what a checkpoint holds beside tensors.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BatchEvent, EpochMetrics, trainer::Evaluated};
use crate::{config::TrainConfig, plan::StepResult};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// Figures of every epoch that has ended.
    pub(crate) history: Vec<EpochMetrics>,
    /// The epoch under way.
    pub(crate) progress: Progress,
}

/// The epoch under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Steps done in the whole run.
    pub(crate) step: u64,
    /// The epoch, from 1.
    pub(crate) epoch: u64,
    /// Steps done in this epoch.
    pub(crate) batch: u64,
    /// Images so far in this epoch.
    pub(crate) images: u64,
    /// Sum of their losses.
    pub(crate) loss: f64,
    /// How many of them were right.
    pub(crate) correct: u64,
    /// Seconds of training.
    pub(crate) seconds: f64,
}

impl State {
    /// The beginning of a run.
    pub(crate) fn new(config: &TrainConfig) -> State {
        let epoch = config.first_epoch();
        let (step, _) = config.steps_of_epoch(epoch);
        State { history: Vec::new(), progress: Progress { step, epoch, ..Progress::default() } }
    }

    /// Counts a batch that was trained on.
    pub(super) fn add_batch(
        &mut self,
        config: &TrainConfig,
        result: StepResult,
        images: usize,
        time: Duration,
    ) -> BatchEvent {
        let learning_rate = config.lr_at(self.progress.step);
        let p = &mut self.progress;
        p.step += 1;
        p.batch += 1;
        p.images += images as u64;
        p.loss += result.loss * images as f64;
        p.correct += result.correct as u64;
        p.seconds += time.as_secs_f64();
        let (first, end) = config.steps_of_epoch(p.epoch);
        BatchEvent {
            epoch: p.epoch,
            epochs: config.epochs(),
            batch: p.batch,
            batches: end - first,
            step: p.step,
            total_steps: config.total_steps,
            loss: p.loss(),
            accuracy: p.accuracy(),
            batch_loss: result.loss,
            batch_accuracy: 100.0 * result.correct as f64 / images as f64,
            learning_rate,
            images_per_second: p.images_per_second(),
        }
    }

    /// Closes an epoch by its evaluation and returns its figures.
    pub(super) fn end_epoch(
        &mut self,
        config: &TrainConfig,
        evaluated: &Evaluated,
    ) -> EpochMetrics {
        let p = std::mem::take(&mut self.progress);
        let metrics = EpochMetrics {
            epoch: p.epoch,
            step: p.step,
            train_loss: p.loss(),
            train_accuracy: p.accuracy(),
            test_loss: evaluated.test.loss(),
            test_accuracy: evaluated.test.accuracy(),
            held_out_loss: evaluated.held_out.as_ref().map(|h| h.loss()),
            held_out_accuracy: evaluated.held_out.as_ref().map(|h| h.accuracy()),
            learning_rate: config.lr_at(p.step - 1),
            seconds: p.seconds,
            images_per_second: p.images_per_second(),
        };
        self.history.push(metrics.clone());
        self.progress = Progress { step: p.step, epoch: p.epoch + 1, ..Progress::default() };
        metrics
    }

    /// Whether the last epoch to end was better than all before it: on held-out images if there
    /// are any, on test images otherwise.
    pub(super) fn is_best(&self) -> bool {
        let score = |m: &EpochMetrics| m.held_out_accuracy.unwrap_or(m.test_accuracy);
        let Some((last, before)) = self.history.split_last() else { return false };
        before.iter().all(|m| score(m) < score(last))
    }
}

impl Progress {
    fn loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    fn accuracy(&self) -> f64 {
        100.0 * self.correct as f64 / self.images.max(1) as f64
    }

    fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{config::tests::sample, evaluate::Tally};

    /// Both classes of the sample once, the first recognised.
    fn half_right() -> Tally {
        let mut tally = Tally::new(2);
        tally.add(&[1.0, 0.0], 0);
        tally.add(&[1.0, 0.0], 1);
        tally
    }

    fn add(state: &mut State, loss: f64, correct: usize, images: usize) -> BatchEvent {
        let result = StepResult { loss, correct };
        state.add_batch(&sample(), result, images, Duration::from_millis(100))
    }

    /// One batch into the second epoch of the sample, whose epochs have three.
    pub(crate) fn state() -> State {
        let mut state = State::new(&sample());
        for (loss, correct, images) in [(0.1, 1, 4), (0.2, 2, 4), (0.7, 0, 2)] {
            add(&mut state, loss, correct, images);
        }
        let test = Evaluated { test: half_right(), held_out: Some(half_right()) };
        state.end_epoch(&sample(), &test);
        add(&mut state, 0.3, 1, 4);
        state
    }

    #[test]
    fn an_epoch_is_the_mean_over_its_images() {
        let state = state();
        let m = &state.history[0];
        assert_eq!((m.epoch, m.step), (1, 3));
        assert!((m.train_loss - (0.4 + 0.8 + 1.4) / 10.0).abs() < 1e-12);
        assert_eq!((m.train_accuracy, m.test_accuracy), (30.0, 50.0));
        assert!((m.images_per_second - 10.0 / 0.3).abs() < 1e-9);
        assert_eq!(m.learning_rate, sample().lr_at(2));
        assert_eq!((state.progress.step, state.progress.epoch, state.progress.batch), (4, 2, 1));
    }

    #[test]
    fn a_batch_tells_its_own_figures_and_the_epochs() {
        let mut state = state();
        let b = add(&mut state, 0.5, 0, 4);
        assert_eq!((b.epoch, b.epochs, b.batch, b.batches), (2, 3, 2, 3));
        assert_eq!((b.step, b.total_steps), (5, 8));
        assert_eq!((b.loss, b.accuracy, b.batch_loss, b.batch_accuracy), (0.4, 12.5, 0.5, 0.0));
        assert_eq!(b.learning_rate, sample().lr_at(4));
    }

    #[test]
    fn best_is_chosen_on_held_out_images_and_must_be_better() {
        let mut state = state();
        let first = state.history[0].clone();
        assert!(state.is_best());
        let mut after = |held_out: Option<f64>, test: f64| {
            let (held_out_accuracy, test_accuracy) = (held_out, test);
            state.history.push(EpochMetrics { held_out_accuracy, test_accuracy, ..first.clone() });
            state.is_best()
        };
        assert!(!after(Some(50.0), 99.0));
        assert!(!after(Some(49.0), 99.0));
        assert!(after(Some(51.0), 1.0));
        assert!(after(None, 60.0));
        assert!(!State::new(&sample()).is_best());
    }
}
