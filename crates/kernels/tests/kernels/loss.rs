use resnet_kernels::loss::{Target, cross_entropy, total_weight};

use crate::testing::random;

#[test]
fn known_values() {
    // torch.nn.functional.cross_entropy(torch.tensor([[1., 2., 3.], [1., 1., 1.]]),
    //     torch.tensor([2, 0]))  -> 0.7531; with label_smoothing=0.1 -> 0.8031
    let logits = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0];
    let plain = cross_entropy(&logits, Target::Labels(&[2, 0]), 3, 0.0, None, 2.0, None);
    assert!((plain.mean - 0.753_109).abs() < 1e-5, "{}", plain.mean);
    assert_eq!(plain.correct, 2);
    let smooth = cross_entropy(&logits, Target::Labels(&[2, 0]), 3, 0.1, None, 2.0, None);
    assert!((smooth.mean - 0.803_109).abs() < 1e-5, "{}", smooth.mean);
}

/// Three rows of four classes: mixed images, one label, and one that does not add up to 1.
const SOFT: [f32; 12] = [0.25, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.3, 0.3, 0.1, 0.2];

/// Labels, and soft targets.
fn targets() -> [Target<'static>; 2] {
    [Target::Labels(&[1, 3, 0]), Target::Probabilities { values: &SOFT, classes: 4 }]
}

#[test]
fn gradient_is_the_slope() {
    let logits: Vec<f32> = random(12, 1).iter().map(|&v| v as f32).collect();
    for target in targets() {
        let mut gradient = vec![0.0; 12];
        cross_entropy(&logits, target, 4, 0.1, None, 3.0, Some(&mut gradient));
        for i in 0..12 {
            let at = |d: f32| {
                let mut moved = logits.clone();
                moved[i] += d;
                cross_entropy(&moved, target, 4, 0.1, None, 3.0, None).mean
            };
            let slope = (at(1e-3) - at(-1e-3)) / 2e-3;
            assert!((slope - f64::from(gradient[i])).abs() < 1e-4, "{target:?} {i}");
        }
    }
}

#[test]
fn probabilities_as_in_pytorch() {
    // l = torch.tensor([[1., 2., 3.], [1., 1., 1.], [0.5, -2., 4.]], requires_grad=True)
    // t = torch.tensor([[0.25, 0.75, 0.], [0.2, 0.3, 0.5], [0., 0.6, 0.5]])
    // torch.nn.functional.cross_entropy(l, t, label_smoothing=s).backward(), and l.grad
    let logits = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 0.5, -2.0, 4.0];
    let values = [0.25, 0.75, 0.0, 0.2, 0.3, 0.5, 0.0, 0.6, 0.5];
    let target = Target::Probabilities { values: &values, classes: 3 };
    let plain = [
        -0.053_323_14,
        -0.168_423_83,
        0.221_747_01,
        0.044_444_45,
        0.011_111_11,
        -0.055_555_55,
        0.010_722_02,
        -0.199_119_9,
        0.188_397_88,
    ];
    let smooth = [
        -0.056_100_92,
        -0.154_534_94,
        0.210_635_9,
        0.04,
        0.009_999_99,
        -0.05,
        -0.000_486_56,
        -0.190_239_01,
        0.190_725_58,
    ];
    for (smoothing, loss, slopes) in [(0.0, 2.130_529_2, plain), (0.1, 2.107_644_1, smooth)] {
        let mut gradient = [0.0; 9];
        let found = cross_entropy(&logits, target, 3, smoothing, None, 3.0, Some(&mut gradient));
        assert!((found.mean - loss).abs() < 1e-6, "{found:?}");
        for (found, wanted) in gradient.into_iter().zip(slopes) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
        // The most likely classes are 1, 2 and 1; the largest logits those of 2, 0 and 2.
        assert_eq!(found.correct, 0);
    }
}

/// A label is a probability of 1.
#[test]
fn labels_are_certain_probabilities() {
    let logits = [1.0, -1e30, 3.0, 0.5, 0.25, -1.0];
    let values = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
    let (mut of_labels, mut of_values) = ([0.0; 6], [0.0; 6]);
    let labels = Target::Labels(&[2, 0]);
    let wanted = cross_entropy(&logits, labels, 3, 0.0, None, 2.0, Some(&mut of_labels));
    let target = Target::Probabilities { values: &values, classes: 3 };
    let found = cross_entropy(&logits, target, 3, 0.0, None, 2.0, Some(&mut of_values));
    assert_eq!((found, of_values), (wanted, of_labels));
    assert_eq!(found.correct, 2);
    // Of two most likely classes the first counts.
    let target = Target::Probabilities { values: &[0.0, 0.5, 0.5], classes: 3 };
    assert_eq!(cross_entropy(&[0.0, 1.0, 0.0], target, 3, 0.0, None, 1.0, None).correct, 1);
    assert_eq!(cross_entropy(&[0.0, 0.0, 1.0], target, 3, 0.0, None, 1.0, None).correct, 0);
}

#[test]
fn targets_fit_their_classes() {
    assert!(Target::Labels(&[2, 0]).fits(3) && !Target::Labels(&[2, 0]).fits(2));
    let of = |values, classes| Target::Probabilities { values, classes };
    assert!(of(&SOFT, 4).fits(4) && !of(&SOFT, 4).fits(3) && !of(&SOFT, 5).fits(5));
    assert!(!of(&[0.5, f32::NAN], 2).fits(2) && !of(&[1.5, -0.5], 2).fits(2));
    assert_eq!((of(&SOFT, 4).len(), of(&[], 0).len()), (3, 0));
}

#[test]
fn large_and_broken_logits() {
    assert!(
        cross_entropy(&[1e30, -1e30], Target::Labels(&[0]), 2, 0.0, None, 1.0, None).mean.abs()
            < 1e-9
    );
    let broken = cross_entropy(&[f32::NAN, 1.0], Target::Labels(&[0]), 2, 0.0, None, 1.0, None);
    assert!(broken.mean.is_nan() && broken.correct == 0);
}

/// Micro-batches add up to the batch.
#[test]
fn parts_add_up() {
    let logits: Vec<f32> = random(12, 2).iter().map(|&v| v as f32).collect();
    let parts: [[Target<'_>; 2]; 2] = [
        [Target::Labels(&[1]), Target::Labels(&[3, 0])],
        [&SOFT[..4], &SOFT[4..]].map(|values| Target::Probabilities { values, classes: 4 }),
    ];
    for (target, [first, second]) in targets().into_iter().zip(parts) {
        let mut whole = vec![0.0; 12];
        let loss = cross_entropy(&logits, target, 4, 0.1, None, 3.0, Some(&mut whole));
        let mut found = vec![0.0; 12];
        let (head, tail) = found.split_at_mut(4);
        let a = cross_entropy(&logits[..4], first, 4, 0.1, None, 3.0, Some(head));
        let b = cross_entropy(&logits[4..], second, 4, 0.1, None, 3.0, Some(tail));
        assert_eq!(found, whole);
        assert!((a.mean + b.mean - loss.mean).abs() < 1e-12);
    }
}

#[test]
fn weights_of_classes_as_in_pytorch() {
    // l = torch.tensor([[1., 2., 3.], [1., 1., 1.], [0.5, -2., 4.]], requires_grad=True)
    // t = torch.tensor([2, 0, 1]), or [[0.25, 0.75, 0.], [0.2, 0.3, 0.5], [0., 0.6, 0.4]]
    // torch.nn.functional.cross_entropy(l, t, weight=torch.tensor([0.5, 2., 1.25]),
    //     label_smoothing=s).backward(), and l.grad: see resnet/tests/golden/make_steps.py
    let logits = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 0.5, -2.0, 4.0];
    let values = [0.25, 0.75, 0.0, 0.2, 0.3, 0.5, 0.0, 0.6, 0.4];
    let (labels, soft) =
        (Target::Labels(&[2, 0, 1]), Target::Probabilities { values: &values, classes: 3 });
    let weights = Some(&[0.5, 2.0, 1.25][..]);
    assert_eq!((total_weight(labels, weights), total_weight(soft, weights)), (3.75, 3.0));
    for (target, smoothing, loss, slopes) in [
        (
            labels,
            0.0,
            3.499_498_892,
            [
                0.030_010_19,
                0.081_576_16,
                -0.111_586_35,
                -0.088_888_89,
                0.044_444_44,
                0.044_444_44,
                0.015_595_67,
                -0.532_053_2,
                0.516_457_5,
            ],
        ),
        (
            labels,
            0.1,
            3.349_716_954,
            [
                0.025_565_75,
                0.063_798_38,
                -0.089_364_13,
                -0.073_333_33,
                0.033_333_33,
                0.04,
                0.010_566_38,
                -0.496_545_6,
                0.485_979_23,
            ],
        ),
        (
            soft,
            0.0,
            3.707_561_111,
            [
                0.007_099_89,
                -0.367_438_74,
                0.360_338_85,
                0.113_888_89,
                -0.052_777_78,
                -0.061_111_11,
                0.016_570_39,
                -0.398_639_82,
                0.382_069_43,
            ],
        ),
        (
            soft,
            0.1,
            3.587_014_579,
            [
                0.004_585_62,
                -0.342_720_07,
                0.338_134_45,
                0.110_833_33,
                -0.055_833_33,
                -0.055,
                0.010_576_21,
                -0.380_898_05,
                0.370_321_84,
            ],
        ),
    ] {
        let mut gradient = [0.0; 9];
        let of = total_weight(target, weights);
        let gradients = Some(&mut gradient[..]);
        let found = cross_entropy(&logits, target, 3, smoothing, weights, of, gradients);
        assert!((found.mean - loss).abs() < 1e-6, "{found:?}");
        for (found, wanted) in gradient.into_iter().zip(slopes) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }
}
