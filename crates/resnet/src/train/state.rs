//! Updates the state of a run: at its start, after a batch, and after an epoch.

use std::time::Duration;

use resnet_formats::Shown;

use super::{BatchEvent, evaluation::Evaluated, shards::Stepped};
use crate::{
    checkpoint,
    config::TrainConfig,
    evaluate::Accumulator,
    metrics::{EpochMetrics, Metric, MetricValue, Progress, State},
    run::{LAST, RunFolder, history},
};

/// The state at the start of a run.
pub(super) fn initial_state(config: &TrainConfig) -> State {
    let epoch = config.first_epoch();
    let (step, _) = config.steps_of_epoch(epoch);
    State::new(epoch, step)
}

/// What a run has trained after the earlier checkpoint that it resumes from, and loses by that, in words.
pub(super) fn dropped_epochs(run: &RunFolder, state: &State) -> Option<String> {
    let file = run.earlier_checkpoint()?;
    // The epoch that it was in, and batches of it.
    let (last, batches) = match checkpoint::progress(&run.path().join(LAST)) {
        Some(progress) => (progress.epoch, progress.batch),
        None => (history(run.path()).ok()?.last()?.epoch.saturating_add(1), 0),
    };
    let Progress { epoch, batch, .. } = state.progress;
    let to = match batch {
        0 => format!("epoch {}", epoch - 1),
        _ => format!("batch {batch} of epoch {epoch}"),
    };
    let mut dropped = Vec::new();
    match last.checked_sub(epoch)? {
        0 => {}
        1 if batch == 0 => dropped.push(format!("epoch {epoch}")),
        1 => dropped.push(format!("the rest of epoch {epoch}")),
        _ if batch > 0 => dropped.push(format!("what followed until epoch {}", last - 1)),
        _ => dropped.push(format!("epochs {epoch} to {}", last - 1)),
    }
    let kept = if last == epoch { batch } else { 0 };
    if batches > kept {
        dropped.push(format!("a part of epoch {last}"));
    }
    let dropped = Some(dropped.join(" and ")).filter(|text| !text.is_empty())?;
    Some(format!("{} goes back to {to} and drops {dropped}", file.shown()))
}

/// That `best` starts again with the last epoch, if the scores of those before do not compare with its own.
pub(super) fn restarted_best(state: &State) -> Option<String> {
    let [.., before, last] = &state.history[..] else { return None };
    if before.compares_with(last) {
        return None;
    }
    Some(format!(
        "epoch {} is evaluated on other images than the one before, {} instead of {}: their scores do not compare, so \
         the best epoch is chosen from this one on, and --patience counts from it",
        last.epoch, last.evaluated_images?, before.evaluated_images?
    ))
}

/// Adds a training batch.
pub(super) fn add_batch(
    state: &mut State,
    config: &TrainConfig,
    stepped: &Stepped,
    time: Duration,
) -> BatchEvent {
    let learning_rate = config.lr_at(state.progress.step);
    let Stepped { result, images, waited, .. } = *stepped;
    let p = &mut state.progress;
    p.waited += waited.as_secs_f64();
    p.add(images, result.loss, result.correct, time);
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
        batch_accuracy: 100.0 * result.correct as f64 / images.max(1) as f64,
        learning_rate,
        images_per_second: p.images_per_second(),
        waiting: (!waited.is_zero()).then(|| p.waiting()),
    }
}

/// The metrics of an epoch that ends with this evaluation.
pub(super) fn epoch_metrics(
    state: &State,
    config: &TrainConfig,
    evaluated: &Evaluated,
) -> EpochMetrics {
    let p = &state.progress;
    EpochMetrics {
        epoch: p.epoch,
        step: p.step,
        train_loss: p.loss(),
        train_accuracy: p.accuracy(),
        test_loss: evaluated.test.as_ref().map(|t| t.loss()),
        test_accuracy: evaluated.test.as_ref().map(|t| t.accuracy()),
        validation_loss: evaluated.validation.as_ref().map(|h| h.loss()),
        validation_accuracy: evaluated.validation.as_ref().map(|h| h.accuracy()),
        evaluated_images: evaluated.chosen_on().map(|set| set.images() as u64),
        chosen_by: chosen_by(config, evaluated),
        learning_rate: config.lr_at(p.step - 1),
        seconds: p.seconds,
        images_per_second: p.images_per_second(),
        communication_seconds: Some(p.waited).filter(|&waited| waited > 0.0),
    }
}

/// What the best epoch is chosen by, if that is not the accuracy.
fn chosen_by(config: &TrainConfig, evaluated: &Evaluated) -> Option<MetricValue> {
    let of: fn(&Accumulator) -> f64 = match config.recipe.metric {
        Metric::Accuracy => return None,
        Metric::F1 => Accumulator::f1,
        Metric::Balanced => Accumulator::balanced_accuracy,
    };
    let set = evaluated.chosen_on()?;
    Some(MetricValue { metric: config.recipe.metric, value: of(set) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::tests::sample, engine::StepResult};

    /// One image of each class, of which the first is classified correctly.
    fn half_right() -> Accumulator {
        let mut accumulator = Accumulator::new(2);
        accumulator.add(&[1.0, 0.0], 0);
        accumulator.add(&[1.0, 0.0], 1);
        accumulator
    }

    fn add(state: &mut State, loss: f64, correct: usize, images: usize) -> BatchEvent {
        let result = StepResult { loss, correct };
        let stepped = Stepped { result, images, stop: 0, waited: Duration::ZERO };
        add_batch(state, &sample(), &stepped, Duration::from_millis(100))
    }

    /// After one batch of the sample's second epoch. Its epochs have three.
    fn state() -> State {
        let mut state = initial_state(&sample());
        for (loss, correct, images) in [(0.1, 1, 4), (0.2, 2, 4), (0.7, 0, 2)] {
            add(&mut state, loss, correct, images);
        }
        let test = Evaluated { test: Some(half_right()), validation: Some(half_right()) };
        let metrics = epoch_metrics(&state, &sample(), &test);
        state.end_epoch(metrics);
        add(&mut state, 0.3, 1, 4);
        state
    }

    #[test]
    fn processes_wait_for_a_share_of_their_time() {
        let mut state = state();
        let mut waiting = |millis| {
            let (result, waited) =
                (StepResult { loss: 0.5, correct: 0 }, Duration::from_millis(millis));
            let stepped = Stepped { result, images: 4, stop: 0, waited };
            add_batch(&mut state, &sample(), &stepped, Duration::from_millis(100)).waiting
        };
        // The batch before it took as long, alone.
        let share = waiting(50).unwrap();
        assert!((share - 25.0).abs() < 1e-9, "{share}");
        assert_eq!(waiting(0), None);
    }

    #[test]
    fn an_epoch_ends_with_its_evaluation() {
        let state = state();
        let m = &state.history[0];
        assert_eq!((m.epoch, m.step), (1, 3));
        assert_eq!((m.train_accuracy, m.test_accuracy), (30.0, Some(50.0)));
        assert_eq!(m.validation_accuracy, Some(50.0));
        assert_eq!(m.evaluated_images, Some(2));
        assert_eq!(m.learning_rate, sample().lr_at(2));
        assert_eq!((state.progress.step, state.progress.epoch, state.progress.batch), (4, 2, 1));
    }

    #[test]
    fn best_starts_again_with_a_note() {
        let mut state = state();
        let first = state.history[0].clone();
        let mut note = |evaluated_images| {
            let second = EpochMetrics { epoch: 2, evaluated_images, ..first.clone() };
            state.history.push(second);
            restarted_best(&state)
        };
        assert_eq!((note(Some(2)), note(None)), (None, None));
        assert_eq!((note(Some(2)), note(Some(2))), (None, None));
        let text = note(Some(1)).unwrap();
        assert!(text.contains("than the one before, 1 instead of 2"), "{text}");
    }

    #[test]
    fn the_best_epoch_is_chosen_by_the_recipes_metric() {
        let mut config = sample();
        let evaluated = Evaluated { test: None, validation: Some(half_right()) };
        assert_eq!(chosen_by(&config, &evaluated), None);
        // sklearn.metrics.f1_score([0, 1], [0, 0], average="macro") and balanced_accuracy_score
        for (metric, value) in [(Metric::F1, 100.0 / 3.0), (Metric::Balanced, 50.0)] {
            config.recipe.metric = metric;
            let found = chosen_by(&config, &evaluated).unwrap();
            assert_eq!(found.metric, metric);
            assert!((found.value - value).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn a_batch_has_its_own_metrics_and_the_epochs() {
        let mut state = state();
        let b = add(&mut state, 0.5, 0, 4);
        assert_eq!((b.epoch, b.epochs, b.batch, b.batches), (2, 3, 2, 3));
        assert_eq!((b.step, b.total_steps), (5, 8));
        assert_eq!((b.loss, b.accuracy, b.batch_loss, b.batch_accuracy), (0.4, 12.5, 0.5, 0.0));
        assert_eq!(b.learning_rate, sample().lr_at(4));
    }
}
