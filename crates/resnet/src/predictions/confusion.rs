//! The confusion matrix.

use std::cmp::Reverse;

use serde::{Serialize, Serializer};

/// A confusion matrix: how often images of one class are predicted as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// `[truth][predicted]`
    counts: Vec<u64>,
    classes: usize,
}

impl Confusion {
    /// The matrix of no images.
    pub(crate) fn new(classes: usize) -> Confusion {
        Confusion { counts: vec![0; classes.pow(2)], classes }
    }

    /// Adds an image.
    ///
    /// # Panics
    /// If there is no such class.
    pub(crate) fn add(&mut self, truth: usize, predicted: usize) {
        assert!(truth < self.classes, "a label is below the number of classes");
        self.counts[truth * self.classes + predicted] += 1;
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Images of the class `truth` that are predicted as `predicted`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.row(truth)[predicted]
    }

    /// Images of the class `truth`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn images_of(&self, truth: usize) -> u64 {
        self.row(truth).iter().sum()
    }

    /// Predictions for images of the class `truth`: `[predicted]`, a count for each class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.classes..][..self.classes]
    }

    /// Confused pairs (truth, predicted) of different classes, the most frequent first.
    pub fn worst(&self) -> Vec<(usize, usize)> {
        let pairs = (0..self.classes).flat_map(|t| (0..self.classes).map(move |p| (t, p)));
        let mut pairs: Vec<_> = pairs.filter(|&(t, p)| t != p && self.count(t, p) > 0).collect();
        pairs.sort_by_key(|&(t, p)| Reverse(self.count(t, p)));
        pairs
    }
}

/// The rows, a list of counts for each true class.
impl Serialize for Confusion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.classes).map(|truth| self.row(truth)))
    }
}
