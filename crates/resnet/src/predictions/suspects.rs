//! Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021, "Confident
//! Learning: Estimating Uncertainty in Dataset Labels", arXiv 1911.00068).
//!
//! The threshold of a class is its mean probability over the images that are labelled so. An image counts
//! as of another class than its label if that class is, of those whose probability reaches their
//! threshold, the most probable one (the off-diagonal of the confident joint), unless the label is what the
//! network predicts. Such images are ranked by
//! self-confidence, the probability of the label: the lowest first. This is cleanlab's
//! `filter_by="confident_learning"` with `self_confidence`.

use super::Predictions;

/// An image whose label is probably wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// Its index.
    pub image: usize,
    /// Its label.
    pub label: usize,
    /// Probability of the label, in [0, 1].
    pub self_confidence: f32,
    /// The class that it probably is.
    pub suggested: usize,
    /// Probability of that class, in [0, 1].
    pub probability: f32,
}

impl Predictions {
    /// The images whose label is probably wrong, the most suspect first. The predictions should be of a
    /// network that was not trained on these images.
    ///
    /// ```
    /// use resnet::predictions::Predictions;
    /// // Two classes; the last image is labelled 0, but looks like the other images of class 1.
    /// let logits = vec![2.0, 0.0, 3.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0];
    /// let suspects = Predictions::new(logits, 2).suspects(&[0, 0, 1, 1, 0]);
    /// assert_eq!(suspects.len(), 1);
    /// assert_eq!((suspects[0].image, suspects[0].suggested), (4, 1));
    /// ```
    ///
    /// # Panics
    /// If there is not a label below the number of classes for each image.
    pub fn suspects(&self, labels: &[u32]) -> Vec<Suspect> {
        assert_eq!(labels.len(), self.len(), "a label for each image");
        let thresholds = self.thresholds(labels);
        let suspect = |(image, &label): (usize, &u32)| {
            let (label, probabilities) = (label as usize, self.probabilities(image));
            let reach = |&class: &usize| f64::from(probabilities[class]) >= thresholds[class];
            let suggested = (0..self.classes()).filter(reach).max_by(|&a, &b| {
                // The first of equal ones.
                probabilities[a].total_cmp(&probabilities[b]).then(b.cmp(&a))
            })?;
            let [self_confidence, probability] = [label, suggested].map(|c| probabilities[c]);
            let suspect = Suspect { image, label, self_confidence, suggested, probability };
            let is_predicted = self.class(image) == label;
            let is_suspect = suggested != label && !is_predicted && self_confidence.is_finite();
            is_suspect.then_some(suspect)
        };
        let mut suspects: Vec<Suspect> = labels.iter().enumerate().filter_map(suspect).collect();
        suspects.sort_by(|a, b| a.self_confidence.total_cmp(&b.self_confidence));
        suspects
    }

    /// The mean probability of each class over the images that are labelled so; infinite without any.
    fn thresholds(&self, labels: &[u32]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0_usize); self.classes()];
        for (image, &label) in labels.iter().enumerate() {
            let (sum, images) = &mut sums[label as usize];
            *sum += f64::from(self.probabilities(image)[label as usize]);
            *images += 1;
        }
        let mean = |(sum, images): (f64, usize)| {
            if images == 0 { f64::INFINITY } else { sum / images as f64 }
        };
        sums.into_iter().map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(probabilities: &[[f32; 3]]) -> Predictions {
        Predictions::new(probabilities.concat().iter().map(|p| p.ln()).collect(), 3)
    }

    #[test]
    fn thresholds_are_the_mean_self_confidence_of_a_class() {
        // Thresholds: class 0 (0.9 + 0.8 + 0.1) / 3 = 0.6, class 1 (0.7 + 0.5) / 2 = 0.6; class 2 has none.
        let predictions = of(&[
            [0.9, 0.05, 0.05],
            [0.8, 0.1, 0.1],
            [0.1, 0.7, 0.2], // labelled 0, of class 1
            [0.2, 0.7, 0.1],
            [0.4, 0.5, 0.1], // labelled 1: no class reaches its threshold
        ]);
        let labels = [0, 0, 0, 1, 1];
        let thresholds = predictions.thresholds(&labels);
        assert!((thresholds[0] - 0.6).abs() < 1e-6 && (thresholds[1] - 0.6).abs() < 1e-6);
        assert_eq!(thresholds[2], f64::INFINITY);
        let found = predictions.suspects(&labels);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].image, found[0].label, found[0].suggested), (2, 0, 1));
        assert!((found[0].self_confidence - 0.1).abs() < 1e-6);
        assert!((found[0].probability - 0.7).abs() < 1e-6);
        // A label that is predicted, below the threshold of its class, is no suspect. (Thresholds: 0.8, 0.3.)
        let rows = [[0.98, 0.01, 0.01], [0.62, 0.37, 0.01], [0.3, 0.3, 0.4]];
        assert!(of(&rows).suspects(&[0, 0, 1]).is_empty());
        // A class that nothing is labelled as is never suggested.
        assert!(of(&[[0.1, 0.1, 0.8], [0.6, 0.2, 0.2]]).suspects(&[0, 0]).is_empty());
    }

    #[test]
    fn the_lowest_self_confidence_comes_first() {
        let mut rows = vec![[0.9, 0.05, 0.05]; 8];
        rows.extend([[0.05, 0.9, 0.05]; 8]);
        rows.extend([[0.06, 0.93, 0.01], [0.02, 0.94, 0.04], [0.04, 0.95, 0.01]]);
        let mut labels = [vec![0; 8], vec![1; 8]].concat();
        labels.extend([0, 0, 0]);
        let found = of(&rows).suspects(&labels);
        assert_eq!(found.iter().map(|s| s.image).collect::<Vec<_>>(), [17, 18, 16]);
        assert!(found.iter().all(|suspect| suspect.suggested == 1));
        let nan = Predictions::new(vec![f32::NAN, 0.0, 0.0, 1.0], 2);
        assert!(nan.suspects(&[0, 1]).is_empty());
        assert!(Predictions::new(vec![0.3], 1).suspects(&[0]).is_empty());
    }
}
