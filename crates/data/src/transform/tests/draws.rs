//! The draws have torchvision's distributions.

use std::f64::consts::PI;

use super::super::{
    choice::Choice,
    mix::{Mix, Mixed},
    operation::Operation,
    policy::MAGNITUDES,
    settings::{
        Affine, ColorJitter, Crop, ErasedValue, PcaNoise, Policy, RandAugment, RandomCrop,
        RandomErasing, RandomResizedCrop, Rotation, Shorter, Transform, TrivialAugmentWide,
    },
};

/// Choices for many photos of a size.
fn choices(transform: &Transform, n: u64, source: [usize; 2], size: [usize; 2]) -> Vec<Choice> {
    transform.check().unwrap();
    (0..n).map(|index| transform.choose(3, 1, index, source, size)).collect()
}

/// Kolmogorov's test that values have a distribution, at a level of 0.1 %. `slack` is what rounding to
/// whole pixels changes.
fn assert_distributed(mut values: Vec<f64>, slack: f64, distribution: impl Fn(f64) -> f64) {
    let n = values.len() as f64;
    values.sort_by(f64::total_cmp);
    let distance = values.iter().enumerate().map(|(i, &value)| {
        let share = distribution(value);
        (share - i as f64 / n).abs().max((share - (i + 1) as f64 / n).abs())
    });
    let distance = distance.fold(0.0, f64::max);
    assert!(distance < 1.95 / n.sqrt() + slack, "distance {distance} of {n} values");
}

fn uniform(low: f64, high: f64) -> impl Fn(f64) -> f64 {
    move |value| ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// That counts are of equally likely things: within 5 standard deviations.
fn assert_even(counts: &[usize]) {
    let n: usize = counts.iter().sum();
    let mean = n as f64 / counts.len() as f64;
    for &count in counts {
        assert!((count as f64 - mean).abs() < 5.0 * mean.sqrt() + 1.0, "{counts:?}");
    }
}

#[test]
fn resized_crops() {
    let crop = RandomResizedCrop { scale: [0.08, 0.5], ratio: [0.75, 4.0 / 3.0] };
    let transform = Transform { crop: Crop::RandomResized(crop), ..Transform::default() };
    let all = choices(&transform, 2000, [1000, 1000], [32, 32]);
    let sides = |choice: &Choice| choice.window.part.clone().map(|part| part.len() as f64);
    let areas = all.iter().map(|choice| sides(choice).iter().product::<f64>() / 1e6);
    assert_distributed(areas.collect(), 0.01, uniform(0.08, 0.5));
    let ratios = all.iter().map(|choice| {
        let [height, width] = sides(choice);
        (width / height).ln()
    });
    assert_distributed(ratios.collect(), 0.01, uniform(0.75_f64.ln(), (4.0_f64 / 3.0).ln()));
    for side in 0..2 {
        let places = all.iter().map(|choice| {
            let part = &choice.window.part[side];
            part.start as f64 / (1000 - part.len()) as f64
        });
        assert_distributed(places.collect(), 0.01, uniform(0.0, 1.0));
    }
    let flips = all.iter().filter(|choice| choice.mirrored[1]).count();
    assert!((890..1110).contains(&flips), "{flips} of 2000");
    assert!(all.iter().all(|choice| !choice.mirrored[0]));
}

/// Where no part fits, it is the largest one in the middle (`RandomResizedCrop.get_params`).
#[test]
fn resized_crops_of_strips() {
    let crop = RandomResizedCrop { scale: [0.9, 1.0], ratio: [0.75, 1.25] };
    let transform = Transform { crop: Crop::RandomResized(crop), ..Transform::default() };
    for (source, part) in [([10, 1000], [0..10, 494..506]), ([801, 10], [394..407, 0..10])] {
        let choice = transform.choose(0, 0, 0, source, [8, 8]);
        assert_eq!(choice.window.part, part);
    }
    for source in [[1, 1], [1, 50], [50, 1]] {
        let choice = Transform::default().choose(0, 0, 0, source, [8, 8]);
        assert!(choice.window.part.iter().all(|part| part.len() == 1), "{choice:?}");
    }
}

#[test]
fn random_crops_are_anywhere() {
    let crop = |resize, padding| Transform {
        crop: Crop::Random(RandomCrop { resize, padding }),
        ..Transform::default()
    };
    for (transform, source, resized, firsts) in [
        (crop(Some(Shorter::To(10)), 0), [10, 14], [10, 14], [0..3, 0..7]),
        (crop(Some(Shorter::To(20)), 0), [40, 60], [20, 30], [0..13, 0..23]),
        (crop(None, 2), [9, 8], [9, 8], [-2..4, -2..3]),
        (crop(None, 0), [3, 8], [3, 8], [-5..1, 0..1]),
    ] {
        let mut counts = vec![0; firsts[0].len() * firsts[1].len()];
        for choice in choices(&transform, counts.len() as u64 * 100, source, [8, 8]) {
            assert_eq!(choice.window.resized, resized);
            let [y, x] = [0, 1].map(|side| {
                let first = choice.window.first[side];
                assert!(firsts[side].contains(&first), "{choice:?}");
                (first - firsts[side].start) as usize
            });
            counts[y * firsts[1].len() + x] += 1;
        }
        assert_even(&counts);
    }
}

/// The paper's: the shorter side is any integer from 256 to 480, and the crop anywhere in the result.
#[test]
fn the_shorter_side_is_any_of_a_range() {
    let resize = Some(Shorter::Between([10, 14]));
    let crop = Crop::Random(RandomCrop { resize, padding: 0 });
    let transform = Transform { crop, ..Transform::default() };
    let mut counts = vec![0; 5];
    for choice in choices(&transform, 1000, [30, 45], [8, 8]) {
        let [height, width] = choice.window.resized;
        assert_eq!(width, height * 45 / 30);
        let inside = |side: usize| {
            (0..=choice.window.resized[side] as isize - 8).contains(&choice.window.first[side])
        };
        assert!(inside(0) && inside(1), "{choice:?}");
        counts[height - 10] += 1;
    }
    assert_even(&counts);
}

/// Each axis has a normal number of its own.
#[test]
fn colors_move_along_their_axes() {
    let eigenvectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let noise = PcaNoise { std: 0.1, eigenvalues: [1.0, 0.5, 0.25], eigenvectors };
    let transform = Transform { pca_noise: Some(noise), ..Transform::default() };
    let all = choices(&transform, 2000, [9, 9], [8, 8]);
    let levels = |choice: &Choice| match choice.operations[..] {
        [Operation::AddColor(levels)] => levels,
        ref other => panic!("{other:?}"),
    };
    let of = |channel: usize| all.iter().map(move |choice| levels(choice)[channel]);
    for (channel, std) in [25.5, 12.75, 6.375].into_iter().enumerate() {
        let mean = of(channel).sum::<f64>() / 2000.0;
        let variance = of(channel).map(|x| x * x).sum::<f64>() / 2000.0;
        assert!(mean.abs() < 0.08 * std, "{channel}: {mean}");
        assert!((variance.sqrt() / std - 1.0).abs() < 0.05, "{channel}: {variance}");
    }
    let product = of(0).zip(of(1)).map(|(a, b)| a * b).sum::<f64>() / 2000.0;
    assert!(product.abs() < 0.08 * 25.5 * 12.75, "{product}");
    // It changes no other choice.
    let without = choices(&Transform::default(), 2000, [9, 9], [8, 8]);
    assert!(
        all.iter().zip(&without).all(|(a, b)| a.window == b.window && a.mirrored == b.mirrored)
    );
}

/// The angle of a map without shear, degrees.
fn turned(operation: &Operation) -> f64 {
    let Operation::Affine { matrix, .. } = operation else { panic!("{operation:?}") };
    matrix[1].atan2(matrix[0]).to_degrees()
}

#[test]
fn rotations_and_maps() {
    let rotation = Some(Rotation { degrees: 30.0, ..Rotation::default() });
    let rotated = Transform { rotation, ..Transform::default() };
    let all = choices(&rotated, 2000, [9, 9], [100, 200]);
    let angles = all.iter().map(|choice| turned(&choice.operations[0]));
    assert_distributed(angles.collect(), 0.0, uniform(-30.0, 30.0));

    let affine =
        Affine { degrees: 20.0, translate: [0.1, 0.2], scale: [0.5, 2.0], ..Affine::default() };
    let mapped = |affine| Transform { affine: Some(affine), ..Transform::default() };
    let all = choices(&mapped(affine), 2000, [9, 9], [100, 200]);
    let matrix = |choice: &Choice| match choice.operations[..] {
        [Operation::Affine { matrix, .. }] => matrix,
        _ => panic!("{choice:?}"),
    };
    let matrices: Vec<[f64; 6]> = all.iter().map(matrix).collect();
    let angles = all.iter().map(|choice| turned(&choice.operations[0]));
    assert_distributed(angles.collect(), 0.0, uniform(-20.0, 20.0));
    let factors = matrices.iter().map(|m| (m[0] * m[4] - m[1] * m[3]).sqrt().recip());
    assert_distributed(factors.collect(), 0.0, uniform(0.5, 2.0));
    // The new place of the middle, by the inverse of the map.
    let shifts = |axis: usize| {
        matrices.iter().map(move |m| {
            let [x, y] = [100.0 - m[2], 50.0 - m[5]];
            let area = m[0] * m[4] - m[1] * m[3];
            let middle = [(m[4] * x - m[1] * y) / area, (m[0] * y - m[3] * x) / area];
            middle[axis] - [100.0, 50.0][axis]
        })
    };
    for axis in 0..2 {
        assert!(shifts(axis).all(|shift| (shift - shift.round()).abs() < 1e-6));
        assert_distributed(shifts(axis).collect(), 0.03, uniform(-20.0, 20.0));
    }

    let sheared = mapped(Affine { shear: [10.0, 0.0], ..Affine::default() });
    let all = choices(&sheared, 2000, [9, 9], [100, 200]);
    let angles = all.iter().map(|choice| matrix(choice)[1].atan().to_degrees());
    assert_distributed(angles.collect(), 0.0, uniform(-10.0, 10.0));
}

#[test]
fn jitter_in_every_order() {
    let jitter = ColorJitter { brightness: 0.4, contrast: 0.3, saturation: 1.5, hue: 0.1 };
    let transform = Transform { color_jitter: Some(jitter), ..Transform::default() };
    let (mut orders, mut values) = (vec![0; 256], [(); 4].map(|()| Vec::new()));
    for choice in choices(&transform, 4800, [9, 9], [9, 9]) {
        let kinds = choice.operations.iter().map(|operation| {
            let (kind, value) = match *operation {
                Operation::Brightness(value) => (0, value),
                Operation::Contrast(value) => (1, value),
                Operation::Saturation(value) => (2, value),
                Operation::Hue(value) => (3, value),
                ref other => panic!("{other:?}"),
            };
            values[kind].push(f64::from(value));
            kind
        });
        orders[kinds.fold(0, |all, kind| 4 * all + kind)] += 1;
    }
    orders.retain(|&count| count > 0);
    assert_eq!(orders.len(), 24);
    assert_even(&orders);
    let [brightness, contrast, saturation, hue] = values;
    assert_distributed(brightness, 0.0, uniform(0.6, 1.4));
    assert_distributed(contrast, 0.0, uniform(0.7, 1.3));
    assert_distributed(saturation, 0.0, uniform(0.0, 2.5));
    assert_distributed(hue, 0.0, uniform(-0.1, 0.1));

    let only = ColorJitter { contrast: 0.3, ..ColorJitter::default() };
    let transform = Transform { color_jitter: Some(only), ..Transform::default() };
    for choice in choices(&transform, 10, [9, 9], [9, 9]) {
        assert!(matches!(choice.operations[..], [Operation::Contrast(_)]), "{choice:?}");
    }
}

#[test]
fn policies_draw_every_operation() {
    let rand = RandAugment { num_ops: 3, ..RandAugment::default() };
    let rand = Transform { policy: Some(Policy::RandAugment(rand)), ..Transform::default() };
    let trivial = Policy::TrivialAugmentWide(TrivialAugmentWide::default());
    let trivial = Transform { policy: Some(trivial), ..Transform::default() };
    for (transform, draws) in [(&rand, 3), (&trivial, 1)] {
        let n = 14 * 300 / draws;
        // Identity, maps, colours of four kinds, posterize, solarize, autocontrast, equalize.
        let mut counts = [0; 10];
        for choice in choices(transform, n, [9, 9], [50, 70]) {
            counts[0] += draws as usize - choice.operations.len();
            for operation in choice.operations {
                let kind = match operation {
                    Operation::Affine { .. } => 1,
                    Operation::Brightness(_) => 2,
                    Operation::Saturation(_) => 3,
                    Operation::Contrast(_) => 4,
                    Operation::Sharpness(_) => 5,
                    Operation::Posterize(_) => 6,
                    Operation::Solarize(_) => 7,
                    Operation::AutoContrast => 8,
                    Operation::Equalize => 9,
                    Operation::Hue(_) | Operation::AddColor(_) => {
                        panic!("no policy has {operation:?}")
                    }
                };
                counts[kind] += 1;
            }
        }
        // Five of the 14 are maps.
        assert!((1300..1700).contains(&counts[1]), "{counts:?}");
        counts[1] = 300;
        assert_even(&counts);
    }
    // Every magnitude, with both signs.
    let mut factors = Vec::new();
    for choice in choices(&trivial, 14 * 61 * 20, [9, 9], [50, 70]) {
        if let [Operation::Brightness(factor)] = choice.operations[..] {
            factors.push(((factor - 1.0) / 0.99 * (MAGNITUDES - 1) as f32).round() as i32);
        }
    }
    let mut counts = vec![0; 61];
    factors.iter().for_each(|factor| counts[(factor + 30) as usize] += 1);
    counts[30] /= 2; // no magnitude has no sign
    assert_even(&counts);
}

#[test]
fn erased_parts() {
    let erasing = RandomErasing { probability: 0.25, scale: [0.02, 0.2], ..Default::default() };
    let transform = Transform { random_erasing: Some(erasing), ..Transform::default() };
    let all = choices(&transform, 8000, [9, 9], [400, 400]);
    let parts: Vec<_> = all.iter().filter_map(|choice| choice.erased.as_ref()).collect();
    assert!((1800..2200).contains(&parts.len()), "{}", parts.len());
    let area = |part: &[std::ops::Range<usize>; 2]| (part[0].len() * part[1].len()) as f64;
    let areas = parts.iter().map(|erased| area(&erased.part) / 160_000.0);
    assert_distributed(areas.collect(), 0.01, uniform(0.02, 0.2));
    let ratios =
        parts.iter().map(|erased| (erased.part[0].len() as f64 / erased.part[1].len() as f64).ln());
    assert_distributed(ratios.collect(), 0.01, uniform(0.3_f64.ln(), 3.3_f64.ln()));
    assert!(parts.iter().all(|erased| erased.random.is_none()));

    let noisy = RandomErasing { probability: 1.0, value: ErasedValue::Random, ..erasing };
    let transform = Transform { random_erasing: Some(noisy), ..Transform::default() };
    let erased = transform.choose(0, 0, 0, [9, 9], [100, 100]).erased.unwrap();
    let mut image = vec![0; 30_000];
    erased.apply(&mut image, 100, [1, 2, 3]);
    let [rows, columns] = &erased.part;
    let mut bytes = Vec::new();
    for (i, &value) in image.iter().enumerate() {
        if rows.contains(&(i / 300)) && columns.contains(&(i % 300 / 3)) {
            bytes.push(f64::from(value) + 0.5);
        } else {
            assert_eq!(value, 0);
        }
    }
    assert_distributed(bytes, 0.01, uniform(0.0, 256.0));
    // An image of one pixel has only an empty part that is smaller.
    let erased = transform.choose(0, 0, 0, [9, 9], [1, 1]).erased;
    assert!(erased.is_none_or(|erased| area(&erased.part) == 0.0));
}

#[test]
fn shares_of_mixtures() {
    let shares = |alpha| -> Vec<f64> {
        let mix = Mix { mixup: alpha, cutmix: 0.0 };
        mix.check().unwrap();
        (0..2000).map(|batch| mix.choose(1, 1, batch, [32, 32]).unwrap().share()).collect()
    };
    // The distribution functions of Beta(alpha, alpha).
    assert_distributed(shares(1.0), 0.0, |x| x);
    assert_distributed(shares(2.0), 0.0, |x| 3.0 * x * x - 2.0 * x * x * x);
    assert_distributed(shares(0.5), 0.0, |x| 2.0 / PI * x.sqrt().asin());
    let variance = |shares: Vec<f64>| {
        shares.iter().map(|share| (share - 0.5).powi(2)).sum::<f64>() / shares.len() as f64
    };
    for alpha in [0.1, 0.2, 8.0] {
        let wanted = 0.25 / (2.0 * alpha + 1.0);
        assert!((variance(shares(alpha)) / wanted - 1.0).abs() < 0.12, "{alpha}");
    }
    // So small that one image is nearly all.
    assert!(shares(1e-6).iter().all(|share| share.min(1.0 - share) < 1e-9));
}

#[test]
fn patches_of_cutmix() {
    let mix = Mix { mixup: 0.0, cutmix: 1.0 };
    let mut counts = [0; 2];
    for batch in 0..500 {
        let Some(Mixed::Patch { part: [rows, columns], share }) = mix.choose(2, 1, batch, [40, 60])
        else {
            panic!("not a patch")
        };
        assert!(rows.end <= 40 && columns.end <= 60);
        assert_eq!(share, 1.0 - (rows.len() * columns.len()) as f64 / 2400.0);
        counts[usize::from(share > 0.75)] += 1;
        // Half of its sides, where nothing is lost.
        let inside = rows.start > 0 && rows.end < 40 && columns.start > 0 && columns.end < 60;
        let ratio = columns.len() as f64 / rows.len() as f64;
        assert!(!inside || rows.len() < 10 || (1.2..1.8).contains(&ratio), "{rows:?} {columns:?}");
    }
    assert!(counts[1] > 150 && counts[0] > 50, "{counts:?}");
    let both = Mix { mixup: 0.2, cutmix: 1.0 };
    let blends = |batch: &u64| matches!(both.choose(0, 0, *batch, [8, 8]), Some(Mixed::Blend(_)));
    let blends = (0..1000).filter(blends).count();
    assert!((440..560).contains(&blends), "{blends} of 1000");
    assert_eq!(Mix::default().choose(0, 0, 0, [8, 8]), None);
}

/// What is turned on does not change what else is drawn, and each key has choices of its own.
#[test]
fn streams_are_independent() {
    let plain = Transform { vertical_flip: 0.5, ..Transform::default() };
    let all = Transform {
        rotation: Some(Rotation { degrees: 10.0, ..Rotation::default() }),
        affine: Some(Affine { degrees: 5.0, ..Affine::default() }),
        color_jitter: Some(ColorJitter { hue: 0.1, ..ColorJitter::default() }),
        policy: Some(Policy::RandAugment(RandAugment::default())),
        random_erasing: Some(RandomErasing::default()),
        ..plain.clone()
    };
    let text = |choice: Choice| format!("{choice:?}");
    let mut seen = std::collections::BTreeSet::new();
    for [seed, epoch, index] in (0..64).map(|i| [i % 4, i / 4 % 4, i / 16]) {
        let choose =
            |transform: &Transform| transform.choose(seed, epoch, index, [300, 400], [32, 32]);
        let (few, many) = (choose(&plain), choose(&all));
        assert_eq!((&few.window, few.mirrored), (&many.window, many.mirrored));
        assert_eq!(text(choose(&all)), text(many.clone()));
        assert!(seen.insert(text(many)));
    }
}
