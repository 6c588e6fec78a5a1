//! Probabilities of classes, averaged over views and models.

use super::{accumulator::Accumulator, images::EvaluateError, result::Score};
use crate::predictions::{self, Predictions};

/// Probability of each class of many images. Images that a protocol could not use have none.
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities {
    classes: usize,
    /// `[images][classes]`.
    values: Vec<f32>,
    /// Of each image.
    is_known: Vec<bool>,
}

impl Probabilities {
    /// Zeros.
    pub(super) fn zeros(images: usize, classes: usize) -> Self {
        let (values, is_known) = (vec![0.0; images * classes], vec![true; images]);
        Probabilities { classes, values, is_known }
    }

    /// Softmax of logits.
    pub fn of_logits(logits: &Predictions) -> Self {
        let mut probabilities = Probabilities::zeros(logits.len(), logits.classes());
        for image in 0..logits.len() {
            probabilities.add_softmax(image, logits.logits(image));
        }
        probabilities
    }

    /// Probability of each class of an image, if it has any.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn of(&self, image: usize) -> Option<&[f32]> {
        self.is_known[image].then(|| &self.values[image * self.classes..][..self.classes])
    }

    /// The number of images whose probabilities are NaN, as those of logits that are no numbers.
    pub fn not_finite(&self) -> usize {
        let images = (0..self.is_known.len()).filter_map(|image| self.of(image));
        images.filter(|values| !values.iter().all(|value| value.is_finite())).count()
    }

    /// Adds the softmax of an image's logits.
    pub(super) fn add_softmax(&mut self, image: usize, logits: &[f32]) {
        let sums = &mut self.values[image * self.classes..][..self.classes];
        let probabilities = predictions::probabilities(logits);
        sums.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p as f32);
    }

    /// From now on the image has none.
    pub(super) fn leave_out(&mut self, image: usize) {
        self.is_known[image] = false;
    }

    /// Divides sums by what was added.
    #[must_use]
    pub(super) fn divided(mut self, by: usize) -> Self {
        self.values.iter_mut().for_each(|value| *value /= by as f32);
        self
    }

    /// The same with class `i` where class `order[i]` was: see [`class_order`].
    ///
    /// # Panics
    /// If there is not a number below that of the classes for each class.
    #[must_use]
    pub fn reordered(mut self, order: &[usize]) -> Self {
        assert_eq!(order.len(), self.classes, "a place for each class");
        let mut before = vec![0.0; self.classes];
        for values in self.values.chunks_exact_mut(self.classes) {
            before.copy_from_slice(values);
            values.iter_mut().zip(order).for_each(|(value, &class)| *value = before[class]);
        }
        self
    }

    /// The mean of several models, for the images of all of them. None if there is no model.
    ///
    /// # Panics
    /// If they have different numbers of images or classes.
    pub fn mean(models: impl IntoIterator<Item = Probabilities>) -> Option<Self> {
        let mut models = models.into_iter();
        let (mut sum, mut count) = (models.next()?, 1);
        for model in models {
            let [ours, others] = [&sum, &model].map(|one| [one.is_known.len(), one.classes]);
            assert_eq!(ours, others, "probabilities of the same images and classes");
            sum.values.iter_mut().zip(&model.values).for_each(|(sum, value)| *sum += value);
            sum.is_known.iter_mut().zip(&model.is_known).for_each(|(all, one)| *all &= one);
            count += 1;
        }
        Some(sum.divided(count))
    }

    /// Accuracy and loss, for the images that have probabilities.
    ///
    /// # Panics
    /// If there is not a label below the number of classes for each image.
    pub fn score(&self, labels: &[u32]) -> Score {
        assert_eq!(labels.len(), self.is_known.len(), "a label for each image");
        let mut accumulator = Accumulator::new(self.classes);
        for (image, &label) in labels.iter().enumerate() {
            let Some(probabilities) = self.of(image) else { continue };
            // The softmax of logarithms are the probabilities again.
            let logarithm = |&p: &f32| if p.is_nan() { p } else { p.max(f32::MIN_POSITIVE).ln() };
            let logits: Vec<f32> = probabilities.iter().map(logarithm).collect();
            accumulator.add(&logits, label as usize);
        }
        accumulator.score()
    }
}

/// Where a model has the classes of another: class `i` of `classes` is its class `order[i]`. By names where
/// both have some, or else by number.
///
/// # Errors
/// [`EvaluateError::OtherClasses`] if they are not the same classes.
pub fn class_order(
    classes: &[String],
    named: Option<&[String]>,
    count: usize,
) -> Result<Vec<usize>, EvaluateError> {
    let by_number = || (0..count).collect();
    if classes.len() != count {
        let reason = format!("it has {count} classes, not {}", classes.len());
        return Err(EvaluateError::OtherClasses(reason));
    }
    let Some(named) = named.filter(|named| *named != classes) else { return Ok(by_number()) };
    let place = |class: &String| {
        let mut places = named.iter().enumerate().filter(|(_, name)| *name == class);
        match (places.next(), places.next()) {
            (Some((place, _)), None) => Ok(place),
            (None, _) => Err(EvaluateError::OtherClasses(format!("it has no class '{class}'"))),
            _ => Err(EvaluateError::OtherClasses(format!("it has several classes '{class}'"))),
        }
    };
    let order: Vec<usize> = classes.iter().map(place).collect::<Result<_, _>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => {
            let class = &named[twice[0]];
            Err(EvaluateError::OtherClasses(format!("several classes are called '{class}'")))
        }
        None => Ok(order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn classes_are_matched_by_name_or_number() {
        let order = |named: Option<&str>| {
            let named = named.map(names);
            class_order(&names("cat dog fox"), named.as_deref(), 3)
        };
        assert_eq!(order(None).unwrap(), [0, 1, 2]);
        assert_eq!(order(Some("fox cat dog")).unwrap(), [1, 2, 0]);
        let error = |named| order(Some(named)).unwrap_err().to_string();
        assert!(error("fox cat cow").contains("no class 'dog'"));
        assert!(error("fox fox dog").contains("no class 'cat'"));
        assert!(class_order(&names("a a"), Some(&names("a b")), 2).is_err());
        assert_eq!(class_order(&names("a a"), Some(&names("a a")), 2).unwrap(), [0, 1]);
        assert!(class_order(&names("a b"), None, 3).unwrap_err().to_string().contains("3 classes"));
    }

    #[test]
    fn a_network_of_nan_is_never_right() {
        let nan = Predictions::new(vec![f32::NAN; 6], 6);
        let score = Probabilities::of_logits(&nan).score(&[0]);
        assert_eq!((score.images, score.accuracy, score.top5_accuracy), (1, 0.0, 0.0));
        assert!(score.loss.is_nan());
        let logits = [&[0.0; 2][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0]].concat();
        assert_eq!(Probabilities::of_logits(&Predictions::new(logits, 2)).not_finite(), 2);
    }

    #[test]
    fn means_count_the_images_of_all_models() {
        // Of logits 0 and log 3: 1/4 and 3/4.
        let log = 3.0_f32.ln();
        let one = Probabilities::of_logits(&Predictions::new(vec![0.0, log, log, 0.0], 2));
        // The other way round.
        let other = one.clone().reordered(&[1, 0]);
        assert_eq!(other.of(0).unwrap(), [0.75, 0.25]);
        let mut third = one.clone();
        third.leave_out(1);
        let mean = Probabilities::mean([one, other, third]).unwrap();
        let expected = [(0.25 + 0.75 + 0.25) / 3.0, (0.75 + 0.25 + 0.75) / 3.0];
        let close = |a: &[f32]| a.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(mean.of(0).unwrap()) && mean.of(1).is_none());
        let score = mean.score(&[1, 0]);
        assert_eq!((score.images, score.accuracy, score.top5_accuracy), (1, 100.0, 100.0));
        assert!((score.loss + f64::from(expected[1]).ln()).abs() < 1e-6);
    }

    #[test]
    #[should_panic(expected = "the same images and classes")]
    fn images_of_other_classes_have_no_mean() {
        let of = |classes| Probabilities::of_logits(&Predictions::new(vec![0.0; 6], classes));
        let _ = Probabilities::mean([of(2), of(3)]);
    }

    #[test]
    #[should_panic(expected = "a place for each class")]
    fn an_order_has_all_classes() {
        let _ = Probabilities::of_logits(&Predictions::new(vec![0.0; 6], 3)).reordered(&[1, 0]);
    }

    #[test]
    fn a_probability_of_zero_has_a_finite_loss() {
        let sure = Probabilities::of_logits(&Predictions::new(vec![1e9, 0.0], 2));
        let score = sure.score(&[1]);
        assert!(score.loss > 87.0 && score.loss < 88.0, "{score:?}");
        assert_eq!(score.accuracy, 0.0);
    }
}
