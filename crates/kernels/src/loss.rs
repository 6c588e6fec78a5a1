//! Softmax cross entropy: `torch.nn.CrossEntropyLoss(label_smoothing=...)`, mean over the batch.

/// What a batch's logits come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Sum of the images' losses, over the images of the whole batch.
    pub mean: f64,
    /// Images whose largest logit is the label's.
    pub correct: usize,
}

/// The loss of `logits[n][classes]`, and its gradient in `gradient` where that is given: both divided
/// by `of`, the images of the whole batch of which these are a part.
/// Computed in f64: there are few logits, and the loss is what runs are compared by.
///
/// # Panics
/// If a label is not below `classes`.
pub fn cross_entropy(
    logits: &[f32],
    labels: &[u32],
    classes: usize,
    label_smoothing: f32,
    of: usize,
    mut gradient: Option<&mut [f32]>,
) -> Loss {
    assert_eq!(logits.len(), labels.len() * classes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn known_values() {
        // torch.nn.functional.cross_entropy(torch.tensor([[1., 2., 3.], [1., 1., 1.]]),
        //     torch.tensor([2, 0]))  -> 0.7531; with label_smoothing=0.1 -> 0.8031
        let logits = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0];
        let plain = cross_entropy(&logits, &[2, 0], 3, 0.0, 2, None);
        assert!((plain.mean - 0.753_109).abs() < 1e-5, "{}", plain.mean);
        assert_eq!(plain.correct, 2);
        let smooth = cross_entropy(&logits, &[2, 0], 3, 0.1, 2, None);
        assert!((smooth.mean - 0.803_109).abs() < 1e-5, "{}", smooth.mean);
    }

    #[test]
    fn gradient_is_the_slope() {
        let logits: Vec<f32> = random(12, 1).iter().map(|&v| v as f32).collect();
        let labels = [1, 3, 0];
        let mut gradient = vec![0.0; 12];
        cross_entropy(&logits, &labels, 4, 0.1, 3, Some(&mut gradient));
        for i in 0..12 {
            let at = |d: f32| {
                let mut moved = logits.clone();
                moved[i] += d;
                cross_entropy(&moved, &labels, 4, 0.1, 3, None).mean
            };
            let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
            assert!((slope - f64::from(gradient[i])).abs() < 1e-4);
        }
    }

    #[test]
    fn large_and_broken_logits() {
        assert!(cross_entropy(&[1e30, -1e30], &[0], 2, 0.0, 1, None).mean.abs() < 1e-9);
        let broken = cross_entropy(&[f32::NAN, 1.0], &[0], 2, 0.0, 1, None);
        assert!(broken.mean.is_nan() && broken.correct == 0);
    }
}
