//! Softmax cross entropy: `torch.nn.CrossEntropyLoss(label_smoothing=...)`, mean over the batch.

use crate::check::{at_least, exactly, product};

/// The loss of a batch, or of a part of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// The sum of the images' losses, divided by the images of the whole batch.
    pub mean: f64,
    /// Images whose largest logit is the label's.
    pub correct: usize,
}

/// The loss of `logits[n][classes]`, and its gradient in `gradient` where that is given. Both are
/// divided by `of`, the images of the whole batch of which these are a part. It is computed in f64,
/// since there are few logits and runs are compared by their loss.
///
/// # Panics
/// If there are no classes, a label is not below `classes`, or a slice is of another length.
pub fn cross_entropy(
    logits: &[f32],
    labels: &[u32],
    classes: usize,
    label_smoothing: f32,
    of: usize,
    mut gradient: Option<&mut [f32]>,
) -> Loss {
    assert!(classes > 0, "no classes");
    let all = product(&[labels.len(), classes]);
    exactly("logits", logits.len(), all);
    if let Some(gradient) = &gradient {
        at_least("gradient of the logits", gradient.len(), all);
    }
    let smoothing = f64::from(label_smoothing);
    let (mut sum, mut correct) = (0.0, 0);
    let n = of as f64;
    for (i, (row, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let label = label as usize;
        assert!(label < classes, "label {label} of {classes} classes");
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = |x: f32| f64::from(x) - f64::from(top);
        let log_total = row.iter().map(|&x| shifted(x).exp()).sum::<f64>().ln();
        let mean_log: f64 =
            row.iter().map(|&x| shifted(x) - log_total).sum::<f64>() / classes as f64;
        sum -= (1.0 - smoothing) * (shifted(row[label]) - log_total) + smoothing * mean_log;
        correct += usize::from(row.iter().position(|&x| x == top) == Some(label));
        if let Some(gradient) = gradient.as_deref_mut() {
            for (class, out) in gradient[i * classes..][..classes].iter_mut().enumerate() {
                let target =
                    smoothing / classes as f64 + if class == label { 1.0 - smoothing } else { 0.0 };
                *out = (((shifted(row[class]) - log_total).exp() - target) / n) as f32;
            }
        }
    }
    Loss { mean: sum / n, correct }
}
