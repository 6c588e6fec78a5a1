//! Estimates the remaining time.

use std::time::Instant;

use resnet::train::{BatchEvent, Event};

use super::position::Position;

/// The measurements behind an estimate.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimate {
    /// Images per batch.
    batch_size: f64,
    /// When the last batch of the epoch ended.
    last_batch: Option<Instant>,
    /// Seconds that evaluation took after the last epoch.
    evaluation: f64,
    /// The place of the run among others.
    position: Option<Position>,
}

/// Remaining seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Remaining {
    /// Of training in the current epoch.
    pub(super) epoch: f64,
    /// Of the whole run, with evaluations.
    pub(super) run: f64,
    /// Of all runs, if the run is one of several.
    pub(super) all: Option<f64>,
}

impl Estimate {
    pub(super) fn new(position: Option<Position>) -> Estimate {
        Estimate { position, ..Estimate::default() }
    }

    /// The place of the run among others.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    #[cfg(test)]
    pub(super) fn at(self, position: Option<Position>) -> Estimate {
        Estimate { position, ..self }
    }

    #[cfg(test)]
    pub(super) fn set_batch_size(&mut self, images: f64) {
        self.batch_size = images;
    }

    pub(super) fn update(&mut self, event: &Event) {
        match event {
            Event::Started(run) => self.batch_size = run.batch_size as f64,
            Event::Batch(_) => self.last_batch = Some(Instant::now()),
            Event::EpochEnd { .. } => {
                self.evaluation = self.last_batch.map_or(0.0, |t| t.elapsed().as_secs_f64());
            }
            _ => {}
        }
    }

    /// The remaining time after the evaluation of an epoch, whose last batch this is.
    pub(super) fn after_evaluation(&self, b: &BatchEvent) -> Remaining {
        let Remaining { epoch, run, all } = self.remaining(b);
        let all = all.map(|all| all - self.evaluation);
        Remaining { epoch, run: run - self.evaluation, all }
    }

    /// The remaining time after a batch.
    pub(super) fn remaining(&self, b: &BatchEvent) -> Remaining {
        let seconds = |steps: u64| steps as f64 * self.batch_size / b.images_per_second.max(1e-9);
        let evaluations = b.epochs.saturating_sub(b.epoch) + 1;
        let steps = b.total_steps.saturating_sub(b.step);
        let run = seconds(steps) + evaluations as f64 * self.evaluation;
        let whole = seconds(b.total_steps) + b.epochs as f64 * self.evaluation;
        Remaining {
            epoch: seconds(b.batches.saturating_sub(b.batch)),
            run,
            all: self.position.map(|position| run + position.later * whole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_includes_evaluations() {
        let position = Some(Position { run: 1, runs: 3, later: 0.5 });
        let estimate = Estimate { batch_size: 100.0, last_batch: None, evaluation: 10.0, position };
        let last = BatchEvent {
            epoch: 99,
            epochs: 100,
            batch: 420,
            batches: 450,
            step: 44_520,
            total_steps: 45_000,
            loss: 1.25,
            accuracy: 56.78,
            batch_loss: 1.5,
            batch_accuracy: 50.0,
            learning_rate: 0.1,
            images_per_second: 100.0,
            waiting: None,
        };
        let left = estimate.remaining(&last);
        // 30 and 480 steps of 100 images at 100 images/s, and two evaluations
        let Remaining { run, all, .. } = estimate.after_evaluation(&last);
        assert_eq!((run, all), (490.0, Some(490.0 + 23_000.0)));
        // The whole run takes 45,000 s and 100 evaluations, the later ones half of that.
        assert_eq!(left, Remaining { epoch: 30.0, run: 500.0, all: Some(500.0 + 23_000.0) });
    }
}
