use resnet_kernels::loss::cross_entropy;

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

/// Micro-batches add up to the batch.
#[test]
fn parts_add_up() {
    let logits: Vec<f32> = random(12, 2).iter().map(|&v| v as f32).collect();
    let labels = [1, 3, 0];
    let mut whole = vec![0.0; 12];
    let loss = cross_entropy(&logits, &labels, 4, 0.1, 3, Some(&mut whole));
    let mut parts = vec![0.0; 12];
    let (first, second) = parts.split_at_mut(4);
    let a = cross_entropy(&logits[..4], &labels[..1], 4, 0.1, 3, Some(first));
    let b = cross_entropy(&logits[4..], &labels[1..], 4, 0.1, 3, Some(second));
    assert_eq!(parts, whole);
    assert!((a.mean + b.mean - loss.mean).abs() < 1e-12);
}
