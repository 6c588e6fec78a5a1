//! Precision, recall and F1, as scikit-learn's `precision_recall_fscore_support` with
//! `labels=range(classes)` and `zero_division=0`, in percent.
//!
//! ```
//! use resnet::predictions::{ClassCounts, balanced_accuracy, macro_average};
//!
//! let cat = ClassCounts { images: 4, predicted: 2, correct: 2 };
//! let dog = ClassCounts { images: 4, predicted: 6, correct: 4 };
//! let scores = cat.scores();
//! assert_eq!((scores.precision, scores.recall), (100.0, 50.0));
//! assert_eq!(macro_average(&[cat, dog]).recall, 75.0);
//! assert_eq!(balanced_accuracy(&[cat, dog]), 75.0);
//! ```

use serde::Serialize;

/// What the scores of a class depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Images of the class (scikit-learn's support).
    pub images: usize,
    /// Images that are predicted as the class.
    pub predicted: usize,
    /// Images of the class that are predicted as it.
    pub correct: usize,
}

/// Precision, recall and F1, percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Correct ones of the images that are predicted as the class; 0 if it is never predicted.
    pub precision: f64,
    /// Correct ones of the images of the class, which is its accuracy; 0 if it has no images.
    pub recall: f64,
    /// The harmonic mean of both; 0 if no image is correct.
    pub f1: f64,
}

impl ClassCounts {
    /// The scores of the class.
    pub fn scores(self) -> Scores {
        let ClassCounts { images, predicted, correct } = self;
        Scores {
            precision: percent(correct, predicted),
            recall: percent(correct, images),
            f1: percent(2 * correct, images + predicted),
        }
    }
}

/// The mean over all classes, with or without images (`average="macro"`); 0 without classes.
pub fn macro_average(classes: &[ClassCounts]) -> Scores {
    average(classes, |_| 1)
}

/// The mean over images: each class counts as often as it has images (`average="weighted"`); 0
/// without images.
pub fn weighted_average(classes: &[ClassCounts]) -> Scores {
    average(classes, |class| class.images)
}

/// The mean recall of the classes that have images (`balanced_accuracy_score`), percent; 0 if none
/// has.
pub fn balanced_accuracy(classes: &[ClassCounts]) -> f64 {
    average(classes, |class| class.images.min(1)).recall
}

fn average(classes: &[ClassCounts], weight: impl Fn(&ClassCounts) -> usize) -> Scores {
    let total = classes.iter().map(&weight).sum::<usize>().max(1) as f64;
    let mean = |score: fn(Scores) -> f64| {
        let weighted = classes.iter().map(|class| weight(class) as f64 * score(class.scores()));
        weighted.sum::<f64>() / total
    };
    Scores { precision: mean(|s| s.precision), recall: mean(|s| s.recall), f1: mean(|s| s.f1) }
}

/// 0 of nothing.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
