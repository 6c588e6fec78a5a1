//! Progress as lines.

use resnet::train::{BatchEvent, Event};

use super::{estimate::Estimate, position::Position};
use crate::print;

/// Progress as lines: those of the log and, of a run among others, the time left after each epoch.
pub(crate) struct Lines {
    estimate: Estimate,
    batch: Option<BatchEvent>,
}

impl Lines {
    pub(super) fn new(position: Option<Position>) -> Lines {
        Lines { estimate: Estimate::new(position), batch: None }
    }

    /// The lines of an event, if it has some.
    pub(super) fn of(&mut self, event: &Event) -> Option<String> {
        self.estimate.update(event);
        let line = event.log_line();
        match (event, self.estimate.position(), &self.batch) {
            (Event::Batch(batch), ..) => {
                self.batch = Some(*batch);
                line
            }
            (Event::EpochEnd { .. }, Some(Position { run, runs, .. }), Some(batch)) => {
                let left = self.estimate.after_evaluation(batch);
                let [of_run, all] = [left.run, left.all.unwrap_or(left.run)].map(print::clock);
                Some(format!(
                    "{}; run {run} of {runs}: {of_run} left, all runs {all}",
                    line.unwrap_or_default()
                ))
            }
            _ => line,
        }
    }
}

#[cfg(test)]
mod tests {
    use resnet::train::EpochMetrics;

    use super::*;

    fn events() -> [Event; 2] {
        let batch = BatchEvent {
            epoch: 1,
            epochs: 4,
            batch: 10,
            batches: 10,
            step: 10,
            total_steps: 40,
            loss: 1.0,
            accuracy: 50.0,
            batch_loss: 1.0,
            batch_accuracy: 50.0,
            learning_rate: 0.1,
            images_per_second: 10.0,
            waiting: None,
        };
        let metrics = EpochMetrics {
            epoch: 1,
            step: 10,
            train_loss: 1.0,
            train_accuracy: 50.0,
            test_loss: None,
            test_accuracy: None,
            validation_loss: None,
            validation_accuracy: None,
            evaluated_images: None,
            chosen_by: None,
            learning_rate: 0.1,
            seconds: 10.0,
            images_per_second: 10.0,
            communication_seconds: None,
        };
        [Event::Batch(batch), Event::EpochEnd { metrics, best: true }]
    }

    fn last_line(position: Option<Position>) -> String {
        let mut lines = Lines::new(position);
        lines.estimate.set_batch_size(10.0);
        events().iter().filter_map(|event| lines.of(event)).last().unwrap()
    }

    #[test]
    fn an_epoch_of_a_run_among_others_states_the_time_left() {
        // A step takes a second: 30 are left of this run of 40, and the later ones take three such runs.
        let position = Position { run: 2, runs: 5, later: 3.0 };
        let line = last_line(Some(position));
        assert!(line.ends_with("10 images/s; run 2 of 5: 0:30 left, all runs 2:30"), "{line}");
        let alone = last_line(None);
        assert!(alone.ends_with(" 10 images/s"), "{alone}");
    }
}
