//! Predictions for many images: classes, probabilities, confusion matrix, precision and recall,
//! calibration, wrong labels.
//!
//! ```
//! use resnet::predictions::Predictions;
//!
//! let predictions = Predictions::new(vec![0.1, 2.0, 0.3, 3.0, 1.0, 0.0], 3); // [images][classes]
//! assert_eq!((predictions.class(0), predictions.class(1)), (1, 0));
//! let (class, probability) = predictions.top(0, 2)[0];
//! assert!(class == 1 && probability > 0.7);
//! ```

mod confusion;
mod scores;
mod suspects;

pub use confusion::Confusion;
pub(crate) use scores::percent;
pub use scores::{ClassCounts, Scores, balanced_accuracy, macro_average, weighted_average};
pub use suspects::Suspect;

use serde::Serialize;

/// The logits of many images.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    logits: Vec<f32>,
    classes: usize,
}

impl Predictions {
    /// Predictions from logits `[images][classes]`.
    ///
    /// # Panics
    /// If `classes` is 0, or the number of logits is not a multiple of it.
    pub fn new(logits: Vec<f32>, classes: usize) -> Predictions {
        assert!(classes > 0 && logits.len().is_multiple_of(classes), "logits of whole images");
        Predictions { logits, classes }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.logits.len() / self.classes
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.logits.is_empty()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Logits of an image: `[classes]`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn logits(&self, image: usize) -> &[f32] {
        &self.logits[image * self.classes..][..self.classes]
    }

    /// All logits: `[images][classes]`.
    pub fn all_logits(&self) -> &[f32] {
        &self.logits
    }

    /// Probability of each class of an image, in [0, 1] (`torch.softmax`). A single logit is that of a
    /// yes (`torch.sigmoid`, for `BCEWithLogitsLoss`).
    ///
    /// # Panics
    /// If there is no such image.
    pub fn probabilities(&self, image: usize) -> Vec<f32> {
        let probabilities = probabilities(self.logits(image));
        probabilities.into_iter().map(|p| p as f32).collect()
    }

    /// The predicted class, that with the largest logit (`torch.argmax`): the first of equal ones;
    /// NaN counts as largest.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn class(&self, image: usize) -> usize {
        arg_max(self.logits(image))
    }

    /// Probability of the predicted class, in [0, 1].
    ///
    /// # Panics
    /// If there is no such image.
    pub fn confidence(&self, image: usize) -> f32 {
        probabilities(self.logits(image))[self.class(image)] as f32
    }

    /// Whether its probabilities are numbers: no logit is NaN, and the largest is finite.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn is_finite(&self, image: usize) -> bool {
        self.logits(image)[self.class(image)].is_finite()
    }

    /// The number of images whose probabilities are no numbers.
    pub fn not_finite(&self) -> usize {
        (0..self.len()).filter(|&image| !self.is_finite(image)).count()
    }

    /// The `k` most probable classes and their probabilities, the most probable first; all classes
    /// if there are fewer.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn top(&self, image: usize, k: usize) -> Vec<(usize, f32)> {
        let mut ranked: Vec<_> = self.probabilities(image).into_iter().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(k);
        ranked
    }

    /// Whether the predicted class is `label`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn is_right(&self, image: usize, label: u32) -> bool {
        let class = self.class(image);
        class == label as usize && !self.logits(image)[class].is_nan()
    }

    /// Misclassified images, the most confident first.
    ///
    /// # Panics
    /// If there is not a label for each image.
    pub fn mistakes(&self, labels: &[u32]) -> Vec<usize> {
        assert_eq!(labels.len(), self.len(), "a label for each image");
        let wrong = (0..self.len()).filter(|&i| !self.is_right(i, labels[i]));
        let mut wrong: Vec<_> = wrong.map(|i| (i, self.confidence(i))).collect();
        wrong.sort_by(|a, b| b.1.total_cmp(&a.1));
        wrong.into_iter().map(|(i, _)| i).collect()
    }

    /// The confusion matrix.
    ///
    /// # Panics
    /// If there is not a label below the number of classes for each image.
    pub fn confusion(&self, labels: &[u32]) -> Confusion {
        assert_eq!(labels.len(), self.len(), "a label for each image");
        let mut confusion = Confusion::new(self.classes);
        for (i, &label) in labels.iter().enumerate() {
            confusion.add(label as usize, self.class(i));
        }
        confusion
    }

    /// Confidence compared with accuracy.
    ///
    /// # Panics
    /// If there is not a label for each image.
    pub fn calibration(&self, labels: &[u32]) -> Calibration {
        assert_eq!(labels.len(), self.len(), "a label for each image");
        let mut calibration = Calibration::default();
        for (i, &label) in labels.iter().enumerate() {
            calibration.add(f64::from(self.confidence(i)), self.is_right(i, label));
        }
        calibration
    }
}

/// Number of confidence bins, all equally wide.
const BINS: usize = 15;

/// Confidence compared with accuracy, in 15 bins of confidence (Guo et al. 2017, *On Calibration of
/// Modern Neural Networks*).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    sums: [BinSums; BINS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct BinSums {
    images: usize,
    confidence: f64,
    right: usize,
}

/// A confidence bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Number of images.
    pub images: usize,
    /// Their mean confidence, percent.
    pub confidence: f64,
    /// Their accuracy, percent.
    pub accuracy: f64,
}

impl Calibration {
    /// Adds an image: the probability of its predicted class, in [0, 1], and whether it is right.
    pub fn add(&mut self, confidence: f64, right: bool) {
        // Bin i holds confidences in (i / 15, (i + 1) / 15].
        let bin = (confidence * BINS as f64).ceil() as usize;
        let sum = &mut self.sums[bin.clamp(1, BINS) - 1];
        sum.images += 1;
        sum.confidence += confidence;
        sum.right += usize::from(right);
    }

    /// Expected calibration error (ECE), percent: the mean over images of the absolute difference
    /// between the accuracy and the confidence of their bin. 0 without images.
    pub fn error(&self) -> f64 {
        let images: usize = self.sums.iter().map(|sum| sum.images).sum();
        let off: f64 = self.sums.iter().map(|sum| (sum.confidence - sum.right as f64).abs()).sum();
        100.0 * off / images.max(1) as f64
    }

    /// The bins that have images, in order of confidence.
    pub fn bins(&self) -> Vec<CalibrationBin> {
        let filled = self.sums.iter().filter(|sum| sum.images > 0);
        let percent = |x: f64, sum: &BinSums| 100.0 * x / sum.images as f64;
        filled
            .map(|sum| CalibrationBin {
                images: sum.images,
                confidence: percent(sum.confidence, sum),
                accuracy: percent(sum.right as f64, sum),
            })
            .collect()
    }
}

/// `torch.argmax`: NaN counts as largest.
pub(crate) fn arg_max(logits: &[f32]) -> usize {
    let larger = |a: f32, b: f32| a > b || (a.is_nan() && !b.is_nan());
    (1..logits.len()).fold(0, |best, i| if larger(logits[i], logits[best]) { i } else { best })
}

/// Softmax; sigmoid of a single logit.
pub(crate) fn probabilities(logits: &[f32]) -> Vec<f64> {
    if let &[logit] = logits {
        return vec![1.0 / (1.0 + (-f64::from(logit)).exp())];
    }
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
    let powers: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Probability of the class with the largest logit.
pub(crate) fn confidence(logits: &[f32]) -> f64 {
    probabilities(logits)[arg_max(logits)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_pytorchs() {
        // torch.softmax(torch.tensor([1., 2., 3.], dtype=torch.float64), 0)
        let expected = [0.090_030_573, 0.244_728_471, 0.665_240_956_f64];
        let p = Predictions::new(vec![1.0, 2.0, 3.0, 3e38, -3e38, 0.0], 3);
        for (p, expected) in p.probabilities(0).into_iter().zip(expected) {
            assert!((f64::from(p) - expected).abs() < 1e-7);
        }
        assert_eq!(p.probabilities(1), [1.0, 0.0, 0.0]);
        assert_eq!((p.len(), p.class(0), p.class(1)), (2, 2, 0));
        assert_eq!(p.top(0, 2).iter().map(|t| t.0).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(p.top(0, 9).len(), 3);
    }

    #[test]
    fn a_single_logit_is_a_yes_or_no() {
        // torch.sigmoid(torch.tensor([0.43, -200., 200.], dtype=torch.float64))
        let p = Predictions::new(vec![0.43, -200.0, 200.0], 1);
        assert!((p.probabilities(0)[0] - 0.605_873_7).abs() < 1e-6);
        assert_eq!((p.probabilities(1)[0], p.top(2, 5)), (0.0, vec![(0, 1.0)]));
        assert_eq!(p.confidence(2), 1.0);
        let infinite = vec![0.43, f32::NEG_INFINITY, f32::INFINITY];
        assert_eq!(Predictions::new(infinite, 1).not_finite(), 2);
    }

    #[test]
    fn the_first_of_equal_logits_wins_and_nan_is_never_right() {
        let p = Predictions::new(vec![1.0, 1.0, 0.0, f32::NAN], 2);
        assert_eq!((p.class(0), p.class(1)), (0, 1));
        assert!(p.is_right(0, 0) && !p.is_right(1, 1));
        assert_eq!(p.mistakes(&[0, 1]), [1]);
        assert!(p.is_finite(0) && !p.is_finite(1));
        assert_eq!(p.not_finite(), 1);
        assert_eq!(p.top(0, 2)[0].0, 0);
    }

    #[test]
    fn mistakes_come_the_most_confident_first() {
        let p = Predictions::new(vec![1.0, 0.0, 0.0, 5.0, 9.0, 0.0, 0.0, 2.0], 2);
        assert_eq!(p.mistakes(&[1, 0, 0, 0]), [1, 3, 0]);
        let confusion = p.confusion(&[1, 0, 0, 0]);
        assert_eq!((confusion.row(0), confusion.row(1)), (&[1, 2][..], &[1, 0][..]));
        assert_eq!((confusion.images_of(0), confusion.count(1, 0)), (3, 1));
        assert_eq!(confusion.worst(), [(0, 1), (1, 0)]);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn a_class_that_does_not_exist_is_not_counted() {
        Predictions::new(vec![0.0; 4], 2).confusion(&[0, 1]).count(0, 2);
    }

    #[test]
    fn calibration_weighs_bins_by_their_images() {
        // Two images in one bin at confidence 0.9, one of them right; one at 0.6 that is wrong:
        // (2 |0.9 - 0.5| + |0.6 - 0|) / 3.
        let mut calibration = Calibration::default();
        calibration.add(0.9, true);
        calibration.add(0.9, false);
        calibration.add(0.6, false);
        assert!((calibration.error() - 100.0 * 1.4 / 3.0).abs() < 1e-9);
        let bins = calibration.bins();
        assert_eq!(bins.iter().map(|bin| bin.images).collect::<Vec<_>>(), [1, 2]);
        assert!((bins[1].accuracy - 50.0).abs() < 1e-9 && (bins[1].confidence - 90.0).abs() < 1e-9);
        // The edges belong to a bin.
        calibration.add(0.0, false);
        calibration.add(1.0, true);
        assert_eq!(calibration.bins().len(), 4);
        assert_eq!(Calibration::default().error(), 0.0);
    }
}
