//! Softmax cross entropy: `torch.nn.CrossEntropyLoss(weight=..., label_smoothing=...)`, mean over the
//! batch.

use crate::check::{at_least, exactly, product};

/// What images show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// The class of each image, from 0.
    Labels(&'a [u32]),
    /// How likely each class is, `[n][classes]`: soft targets, as those of mixed images.
    Probabilities {
        /// All rows.
        values: &'a [f32],
        /// Length of a row.
        classes: usize,
    },
}

impl<'a> Target<'a> {
    /// Number of images.
    pub fn len(&self) -> usize {
        match self {
            Target::Labels(labels) => labels.len(),
            Target::Probabilities { values, classes } => {
                values.len().checked_div(*classes).unwrap_or(0)
            }
        }
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether these are targets of so many classes: whether each label is one of them, or rows have that
    /// many values, all finite and none negative.
    pub fn fits(&self, classes: usize) -> bool {
        match *self {
            Target::Labels(labels) => labels.iter().all(|&label| (label as usize) < classes),
            Target::Probabilities { values, classes: own } => {
                own == classes
                    && values.len() == self.len() * classes
                    && values.iter().all(|value| value.is_finite() && *value >= 0.0)
            }
        }
    }

    fn row(self, image: usize) -> Row<'a> {
        match self {
            Target::Labels(labels) => Row::Label(labels[image] as usize),
            Target::Probabilities { values, classes } => {
                Row::Probabilities(&values[image * classes..][..classes])
            }
        }
    }
}

/// What one image shows.
#[derive(Clone, Copy)]
enum Row<'a> {
    Label(usize),
    Probabilities(&'a [f32]),
}

impl Row<'_> {
    /// How likely a class is.
    fn share(self, class: usize) -> f64 {
        match self {
            Row::Label(label) => f64::from(u8::from(class == label)),
            Row::Probabilities(values) => values[class].into(),
        }
    }

    /// The sum of values of the classes, by how likely these are.
    fn sum(self, value: impl Fn(usize) -> f64) -> f64 {
        match self {
            Row::Label(label) => value(label),
            Row::Probabilities(values) => {
                (0..values.len()).map(|class| self.share(class) * value(class)).sum()
            }
        }
    }

    /// The first of the most likely classes (`argmax`).
    fn class(self) -> usize {
        match self {
            Row::Label(label) => label,
            Row::Probabilities(values) => {
                let first = |best, class| if values[class] > values[best] { class } else { best };
                (0..values.len()).reduce(first).unwrap_or(0)
            }
        }
    }
}

/// The loss of a batch, or of a part of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// The sum of the images' losses, divided by those of the whole batch.
    pub mean: f64,
    /// Images whose largest logit is that of the label; of soft targets, that of the most likely class,
    /// the first of several, as torchvision's training references count.
    pub correct: usize,
}

/// What the losses of a whole batch are divided by: its images, or, of labels with weights, the weights of
/// its images' classes, as in PyTorch.
///
/// # Panics
/// If a label has no weight.
pub fn total_weight(target: Target<'_>, weights: Option<&[f32]>) -> f64 {
    match (target, weights) {
        (Target::Labels(labels), Some(weights)) => {
            labels.iter().map(|&label| f64::from(weights[label as usize])).sum()
        }
        _ => target.len() as f64,
    }
}

/// The loss of `logits[n][classes]`, and its gradient in `gradient` where that is given. Each class may have
/// a weight. Both are divided by `of`: PyTorch's mean is over the images of the whole batch of which these
/// are a part, or, of labels with weights, over their weights ([`total_weight`]). It is computed in f64, since
/// there are few logits and runs are compared by their loss.
///
/// # Panics
/// If there are no classes, a label is not below `classes`, probabilities or weights are of another number
/// of classes, or a slice is of another length.
pub fn cross_entropy(
    logits: &[f32],
    target: Target<'_>,
    classes: usize,
    label_smoothing: f32,
    weights: Option<&[f32]>,
    of: f64,
    mut gradient: Option<&mut [f32]>,
) -> Loss {
    assert!(classes > 0, "no classes");
    if let Target::Probabilities { values, classes: own } = target {
        exactly("classes of a target", own, classes);
        exactly("probabilities", values.len(), product(&[target.len(), classes]));
    }
    let all = product(&[target.len(), classes]);
    exactly("logits", logits.len(), all);
    if let Some(weights) = weights {
        exactly("class weights", weights.len(), classes);
    }
    if let Some(gradient) = &gradient {
        at_least("gradient of the logits", gradient.len(), all);
    }
    let smoothing = f64::from(label_smoothing);
    let weight = |class: usize| weights.map_or(1.0, |weights| f64::from(weights[class]));
    let mean_weight = (0..classes).map(weight).sum::<f64>() / classes as f64;
    let (mut sum, mut correct) = (0.0, 0);
    for (i, row) in logits.chunks_exact(classes).enumerate() {
        let target = target.row(i);
        if let Row::Label(label) = target {
            assert!(label < classes, "label {label} of {classes} classes");
        }
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = |x: f32| f64::from(x) - f64::from(top);
        let log_total = row.iter().map(|&x| shifted(x).exp()).sum::<f64>().ln();
        let weighted_log = |class: usize| weight(class) * (shifted(row[class]) - log_total);
        let mean_log = (0..classes).map(weighted_log).sum::<f64>() / classes as f64;
        let own_log = target.sum(weighted_log);
        sum -= (1.0 - smoothing) * own_log + smoothing * mean_log;
        correct += usize::from(row.iter().position(|&x| x == top) == Some(target.class()));
        if let Some(gradient) = gradient.as_deref_mut() {
            // Probabilities add up to 1 but for rounding; PyTorch takes them as they are.
            let total = match (target, weights) {
                (Row::Label(_), None) => 1.0,
                _ => smoothing * mean_weight + (1.0 - smoothing) * target.sum(weight),
            };
            for (class, out) in gradient[i * classes..][..classes].iter_mut().enumerate() {
                let share = smoothing / classes as f64 + (1.0 - smoothing) * target.share(class);
                let probability = (shifted(row[class]) - log_total).exp();
                *out = ((total * probability - weight(class) * share) / of) as f32;
            }
        }
    }
    Loss { mean: sum / of, correct }
}
