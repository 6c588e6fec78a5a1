//! Counts over batches of logits.

use super::result::{ClassResult, Evaluation, Score};
use crate::predictions::{
    self, Calibration, ClassCounts, Confusion, balanced_accuracy, macro_average, percent,
    weighted_average,
};

/// Accumulates accuracy, loss and calibration over batches.
#[derive(Clone, Debug)]
pub(crate) struct Accumulator {
    loss: f64,
    top5: usize,
    classes: Vec<ClassCounts>,
    confusion: Confusion,
    calibration: Calibration,
}

impl Accumulator {
    pub(crate) fn new(classes: usize) -> Self {
        Accumulator {
            loss: 0.0,
            top5: 0,
            classes: vec![ClassCounts::default(); classes],
            confusion: Confusion::new(classes),
            calibration: Calibration::default(),
        }
    }

    /// Adds a batch, by its logits `[images][classes]`.
    pub(crate) fn add_batch(&mut self, logits: &[f32], labels: &[u32]) {
        for (logits, &label) in logits.chunks_exact(self.classes.len()).zip(labels) {
            self.add(logits, label as usize);
        }
    }

    /// Adds an image, by its logits.
    pub(crate) fn add(&mut self, logits: &[f32], label: usize) {
        let own = logits[label];
        // The label's rank: logits that are larger, or equal and of an earlier class. A NaN ranks
        // before all others.
        let comes_after = |i: usize, x: f32| x < own || (x == own && i >= label);
        let rank = logits.iter().enumerate().filter(|&(i, &x)| !comes_after(i, x)).count();
        let predicted = predictions::arg_max(logits);
        self.classes[label].images += 1;
        self.classes[label].correct += usize::from(rank == 0);
        self.classes[predicted].predicted += 1;
        self.confusion.add(label, predicted);
        self.top5 += usize::from(rank < 5);
        self.loss += cross_entropy(logits, label);
        self.calibration.add(predictions::confidence(logits), rank == 0);
    }

    pub(crate) fn images(&self) -> usize {
        self.classes.iter().map(|class| class.images).sum()
    }

    /// Mean cross entropy per image.
    pub(crate) fn loss(&self) -> f64 {
        self.loss / self.images().max(1) as f64
    }

    /// Percent.
    pub(crate) fn accuracy(&self) -> f64 {
        percent(self.classes.iter().map(|class| class.correct).sum(), self.images())
    }

    /// The mean F1 of all classes, percent.
    pub(crate) fn f1(&self) -> f64 {
        macro_average(&self.classes).f1
    }

    /// Percent.
    pub(crate) fn balanced_accuracy(&self) -> f64 {
        balanced_accuracy(&self.classes)
    }

    pub(super) fn score(&self) -> Score {
        Score {
            accuracy: self.accuracy(),
            top5_accuracy: percent(self.top5, self.images()),
            loss: self.loss(),
            images: self.images(),
        }
    }

    pub(super) fn evaluation(&self, names: &[String], seconds: f64) -> Evaluation {
        let per_class = names.iter().zip(&self.classes);
        Evaluation {
            accuracy: self.accuracy(),
            tta: None,
            top5_accuracy: percent(self.top5, self.images()),
            loss: self.loss(),
            calibration_error: self.calibration.error(),
            images: self.images(),
            seconds,
            balanced_accuracy: self.balanced_accuracy(),
            f1: macro_average(&self.classes).f1,
            macro_average: macro_average(&self.classes),
            weighted_average: weighted_average(&self.classes),
            per_class: per_class
                .map(|(class, counts)| ClassResult {
                    class: class.clone(),
                    images: counts.images,
                    accuracy: percent(counts.correct, counts.images),
                    scores: counts.scores(),
                })
                .collect(),
            confusion: self.confusion.clone(),
        }
    }
}

/// `torch.nn.functional.cross_entropy` of one image.
fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let logits = || logits.iter().map(|&x| f64::from(x));
    let max = logits().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits().map(|x| (x - max).exp()).sum();
    max + sum.ln() - logits().nth(label).expect("a label is below the number of classes")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[test]
    fn cross_entropy_is_pytorchs() {
        // F.cross_entropy(torch.tensor([[1., 2., 3.]], dtype=torch.float64), torch.tensor([0]))
        assert!((cross_entropy(&[1.0, 2.0, 3.0], 0) - 2.407_605_964_444_38).abs() < 1e-12);
        // Large logits do not overflow.
        assert_eq!(cross_entropy(&[0.0, 1e30], 1), 0.0);
        assert!(cross_entropy(&[0.0, f32::NAN], 0).is_nan());
    }

    #[test]
    fn counts_by_rank_and_class() {
        let mut accumulator = Accumulator::new(7);
        let logits = [0.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        for label in [1, 2, 5, 6, 6, 0] {
            accumulator.add(&logits, label);
        }
        let names: Vec<String> = (0..7).map(|i| format!("class {i}")).collect();
        let e = accumulator.evaluation(&names, 1.0);
        assert_eq!((e.images, e.accuracy), (6, 100.0 / 6.0));
        assert_eq!(e.top5_accuracy, 50.0);
        let expected: f64 = [1, 2, 5, 6, 6, 0].map(|l| cross_entropy(&logits, l)).iter().sum();
        assert!((e.loss - expected / 6.0).abs() < 1e-12);
        let class = |i: usize| (e.per_class[i].images, e.per_class[i].accuracy);
        assert_eq!((class(1), class(3), class(6)), ((1, 100.0), (0, 0.0), (2, 0.0)));
    }

    #[test]
    fn ties_rank_by_class_and_nan_is_never_correct() {
        let mut accumulator = Accumulator::new(3);
        accumulator.add(&[1.0, 1.0, 0.0], 0);
        accumulator.add(&[1.0, 1.0, 0.0], 1);
        accumulator.add(&[f32::NAN; 3], 0);
        let counts = |class: &ClassCounts| (class.images, class.predicted, class.correct);
        let counts: Vec<_> = accumulator.classes.iter().map(counts).collect();
        assert_eq!(counts, [(2, 3, 1), (1, 0, 0), (0, 0, 0)]);
        assert!(accumulator.loss().is_nan());
    }

    /// Asserts that `ours` has what is expected, with equal numbers.
    fn assert_contains(ours: &Value, expected: &Value) {
        match expected {
            Value::Object(map) => map.iter().for_each(|(key, x)| assert_contains(&ours[key], x)),
            Value::Array(list) => {
                assert_eq!(ours.as_array().map(Vec::len), Some(list.len()));
                list.iter().enumerate().for_each(|(i, x)| assert_contains(&ours[i], x));
            }
            number => {
                let (ours, expected) = (ours.as_f64().unwrap(), number.as_f64().unwrap());
                assert!((ours - expected).abs() < 1e-9, "{ours} for {expected}");
            }
        }
    }

    #[test]
    fn scores_are_scikit_learns() {
        #[derive(Deserialize)]
        struct Case {
            classes: usize,
            labels: Vec<usize>,
            predictions: Vec<usize>,
            expected: Value,
        }
        let file = include_str!("../../tests/golden/scores.json");
        let file: Value = serde_json::from_str(file).unwrap();
        let cases: Vec<Case> = serde_json::from_value(file["cases"].clone()).unwrap();
        assert_eq!(cases.len(), 10);
        for Case { classes, labels, predictions, expected } in cases {
            let mut accumulator = Accumulator::new(classes);
            for (label, class) in labels.into_iter().zip(predictions) {
                let mut logits = vec![0.0; classes];
                logits[class] = 1.0;
                accumulator.add(&logits, label);
            }
            let names: Vec<String> = (0..classes).map(|i| format!("class {i}")).collect();
            let ours = serde_json::to_value(accumulator.evaluation(&names, 1.0)).unwrap();
            assert_contains(&ours, &expected);
        }
    }
}
