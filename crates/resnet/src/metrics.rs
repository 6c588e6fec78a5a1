//! Metrics of a run as plain data: those of each epoch (`metrics.jsonl`), and the progress within
//! one.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What the best epoch is chosen by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The share of correct images.
    #[default]
    Accuracy,
    /// The mean F1 of all classes ([`macro_average`](crate::predictions::macro_average)).
    F1,
    /// The mean recall of the classes that have images
    /// ([`balanced_accuracy`](crate::predictions::balanced_accuracy)).
    Balanced,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Metric::Accuracy => "accuracy",
            Metric::F1 => "F1",
            Metric::Balanced => "balanced accuracy",
        })
    }
}

/// The value of another metric than the accuracy, percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricValue {
    /// The metric.
    pub metric: Metric,
    /// Its value, percent.
    pub value: f64,
}

/// Metrics of one epoch: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Steps of the run so far.
    pub step: u64,
    /// Mean training loss per image over the epoch, with label smoothing.
    pub train_loss: f64,
    /// Training accuracy over the epoch, percent.
    pub train_accuracy: f64,
    /// Mean test loss per image after the epoch, without label smoothing, where there are test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Test accuracy after the epoch, percent, where there are test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Mean validation loss per image after the epoch, without label smoothing, where there is a
    /// validation set. Files of version 0.1.0 call it `held_out_loss`.
    #[serde(default, alias = "held_out_loss", skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Validation accuracy after the epoch, percent, where there is a validation set. Files of
    /// version 0.1.0 call it `held_out_accuracy`.
    #[serde(default, alias = "held_out_accuracy", skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Images of the set that the best epoch is chosen on, the validation set or else the test set, as far as they
    /// were evaluated: photos may be missing. Files of earlier versions do not state it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_images: Option<u64>,
    /// What the best epoch is chosen by, on the validation set if there is one, else on the test set, where
    /// that is not the accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen_by: Option<MetricValue>,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f32,
    /// Training time without evaluation, seconds.
    pub seconds: f64,
    /// Training images per second, of all processes together.
    pub images_per_second: f64,
    /// Of the seconds those in which process 0 waited for others, and took in what they sent, if there are several
    /// processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub communication_seconds: Option<f64>,
}

impl EpochMetrics {
    /// What the best epoch is chosen by, percent: the accuracy or another metric, on the validation set if
    /// there is one, else on the test set; 0 with neither.
    pub fn score(&self) -> f64 {
        let chosen_by = self.chosen_by.map(|other| other.value);
        chosen_by.or(self.validation_accuracy).or(self.test_accuracy).unwrap_or(0.0)
    }

    /// Whether its score compares with another epoch's: not if they state that other numbers of images were evaluated.
    pub(crate) fn compares_with(&self, other: &EpochMetrics) -> bool {
        self.evaluated_images.is_none_or(|own| other.evaluated_images.is_none_or(|n| n == own))
    }

    /// The loss and accuracy by which the run is judged, with their name: on the test set if there is
    /// one, else on the validation set.
    pub fn held_out(&self) -> Option<(&'static str, f64, f64)> {
        let of = |name, loss: Option<f64>, accuracy| Some((name, loss?, accuracy?));
        of("test", self.test_loss, self.test_accuracy)
            .or_else(|| of("validation", self.validation_loss, self.validation_accuracy))
    }
}

/// The best of these epochs, the first of several; none without images to choose by. Where photos went missing or came
/// back, scores no longer compare: then it is the best since.
pub fn best(epochs: &[EpochMetrics]) -> Option<&EpochMetrics> {
    let can_choose = |m: &&EpochMetrics| m.validation_accuracy.or(m.test_accuracy).is_some();
    best_index(epochs).map(|index| &epochs[index]).filter(can_choose)
}

fn best_index(epochs: &[EpochMetrics]) -> Option<usize> {
    let last = epochs.last()?;
    let other = epochs.iter().rposition(|epoch| !epoch.compares_with(last));
    let comparable = epochs.iter().enumerate().skip(other.map_or(0, |index| index + 1));
    let best =
        comparable.reduce(|best, next| if next.1.score() > best.1.score() { next } else { best });
    best.map(|(index, _)| index)
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// Metrics of all completed epochs.
    pub(crate) history: Vec<EpochMetrics>,
    /// Progress within the current epoch.
    pub(crate) progress: Progress,
}

/// Progress within an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Steps of the run so far.
    pub(crate) step: u64,
    /// The epoch, from 1.
    pub(crate) epoch: u64,
    /// Steps of this epoch so far.
    pub(crate) batch: u64,
    /// Images of this epoch so far.
    pub(crate) images: u64,
    /// Sum of their losses.
    pub(crate) loss: f64,
    /// Number of correctly classified images.
    pub(crate) correct: u64,
    /// Training time, seconds.
    pub(crate) seconds: f64,
    /// Of these the time in which process 0 waited for others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) waited: f64,
}

fn is_zero(&x: &f64) -> bool {
    x == 0.0
}

impl State {
    /// The state at the start of a run, whose first epoch is `epoch`, after `step` steps.
    pub(crate) fn new(epoch: u64, step: u64) -> State {
        State { history: Vec::new(), progress: Progress { step, epoch, ..Progress::default() } }
    }

    /// Ends the current epoch with its metrics.
    pub(crate) fn end_epoch(&mut self, metrics: EpochMetrics) {
        let Progress { step, epoch, .. } = self.progress;
        self.history.push(metrics);
        self.progress = Progress { step, epoch: epoch + 1, ..Progress::default() };
    }

    /// The [`best`] of the completed epochs.
    pub(crate) fn best(&self) -> Option<&EpochMetrics> {
        best(&self.history)
    }

    /// Whether the last `patience` epochs, at least one, were no better than one before them.
    pub(crate) fn is_out_of_patience(&self, patience: u64) -> bool {
        let since = |best| self.history.len() - 1 - best;
        best_index(&self.history).is_some_and(|best| since(best) >= patience as usize)
    }

    /// Whether the last completed epoch is the best.
    pub(crate) fn is_best(&self) -> bool {
        best_index(&self.history).is_some_and(|index| index + 1 == self.history.len())
    }
}

impl Progress {
    /// Adds a batch of `images` images: its mean loss, and the number of correct images.
    pub(crate) fn add(&mut self, images: usize, loss: f64, correct: usize, time: Duration) {
        self.step += 1;
        self.batch += 1;
        self.images += images as u64;
        self.loss += loss * images as f64;
        self.correct += correct as u64;
        self.seconds += time.as_secs_f64();
    }

    /// Mean loss per image.
    pub(crate) fn loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    /// Accuracy, percent.
    pub(crate) fn accuracy(&self) -> f64 {
        100.0 * self.correct as f64 / self.images.max(1) as f64
    }

    /// Training images per second.
    pub(crate) fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }

    /// How much of the time process 0 waited for others, percent.
    pub(crate) fn waiting(&self) -> f64 {
        100.0 * self.waited / self.seconds.max(1e-9)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// After one batch of 4 of the second epoch. Epochs are 3 batches of 10 images in all.
    pub(crate) fn sample() -> State {
        let mut state = State::new(1, 0);
        for (images, loss, correct) in [(4, 0.1, 1), (4, 0.2, 2), (2, 0.7, 0)] {
            state.progress.add(images, loss, correct, Duration::from_millis(100));
        }
        let p = &state.progress;
        let metrics = EpochMetrics {
            epoch: p.epoch,
            step: p.step,
            train_loss: p.loss(),
            train_accuracy: p.accuracy(),
            test_loss: Some(0.5),
            test_accuracy: Some(50.0),
            validation_loss: Some(0.5),
            validation_accuracy: Some(50.0),
            evaluated_images: None,
            chosen_by: None,
            learning_rate: 0.1,
            seconds: p.seconds,
            images_per_second: p.images_per_second(),
            communication_seconds: None,
        };
        state.end_epoch(metrics);
        state.progress.add(4, 0.3, 1, Duration::from_millis(100));
        state
    }

    #[test]
    fn an_epoch_is_the_mean_over_its_images() {
        let state = sample();
        let m = &state.history[0];
        assert_eq!((m.epoch, m.step), (1, 3));
        assert!((m.train_loss - (0.4 + 0.8 + 1.4) / 10.0).abs() < 1e-12);
        assert_eq!(m.train_accuracy, 30.0);
        assert!((m.images_per_second - 10.0 / 0.3).abs() < 1e-9);
        let p = &state.progress;
        assert_eq!((p.step, p.epoch, p.batch, p.images), (4, 2, 1, 4));
    }

    #[test]
    fn the_best_epoch_is_the_first_of_the_highest_score() {
        let mut state = sample();
        let first = state.history[0].clone();
        for (epoch, validation) in [(2, 60.0), (3, 55.0), (4, 60.0)] {
            let validation_accuracy = Some(validation);
            state.history.push(EpochMetrics { epoch, validation_accuracy, ..first.clone() });
        }
        assert_eq!(state.best().unwrap().epoch, 2);
        let (validation_accuracy, test_accuracy) = (None, None);
        state.history = vec![EpochMetrics { validation_accuracy, test_accuracy, ..first }];
        assert_eq!(state.best(), None);
    }

    #[test]
    fn best_starts_again_where_other_images_are_evaluated() {
        let mut state = sample();
        let first = state.history[0].clone();
        let mut after = |images: Option<u64>, accuracy: f64| {
            let (evaluated_images, validation_accuracy) = (images, Some(accuracy));
            state.history.push(EpochMetrics {
                evaluated_images,
                validation_accuracy,
                ..first.clone()
            });
            (state.is_best(), state.is_out_of_patience(2))
        };
        // The first one does not state its images, and has 50.
        assert_eq!(after(Some(8), 40.0), (false, false));
        assert_eq!(after(Some(8), 75.0), (true, false));
        assert_eq!(after(Some(8), 60.0), (false, false));
        assert_eq!(after(Some(6), 20.0), (true, false));
        assert_eq!(after(Some(6), 10.0), (false, false));
        assert_eq!(after(Some(6), 20.0), (false, true));
        assert_eq!(after(Some(8), 50.0), (true, false));
        assert_eq!(after(Some(8), 62.5), (true, false));
        assert_eq!(state.best().unwrap().validation_accuracy, Some(62.5));
    }

    #[test]
    fn patience_ends_with_the_epochs_that_are_no_better() {
        let mut state = sample();
        let first = state.history[0].clone();
        let mut after = |f1: f64| {
            let chosen_by = Some(MetricValue { metric: Metric::F1, value: f1 });
            state.history.push(EpochMetrics { chosen_by, ..first.clone() });
            (state.is_out_of_patience(1), state.is_out_of_patience(2), state.is_best())
        };
        assert_eq!(after(60.0), (false, false, true));
        assert_eq!(after(60.0), (true, false, false));
        assert_eq!(after(61.0), (false, false, true));
        assert_eq!(after(59.0), (true, false, false));
        assert_eq!(after(60.5), (true, true, false));
        assert!(!State::new(1, 0).is_out_of_patience(1));
    }

    #[test]
    fn best_is_chosen_on_the_validation_set_and_must_be_better() {
        let mut state = sample();
        let first = state.history[0].clone();
        assert!(state.is_best());
        let mut after = |validation: Option<f64>, test: f64| {
            let (validation_accuracy, test_accuracy) = (validation, Some(test));
            state.history.push(EpochMetrics {
                validation_accuracy,
                test_accuracy,
                ..first.clone()
            });
            state.is_best()
        };
        assert!(!after(Some(50.0), 99.0));
        assert!(!after(Some(49.0), 99.0));
        assert!(after(Some(51.0), 1.0));
        assert!(after(None, 60.0));
        assert!(!State::new(1, 0).is_best());
    }
}
