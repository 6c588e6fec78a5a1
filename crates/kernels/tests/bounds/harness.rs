//! Tests of the judge and of shrinking.

use std::collections::BTreeSet;

use resnet_kernels::{
    Algorithms, Cpu,
    conv::{ConvShape, Direction, Mode, reference},
};

use crate::{
    case::{Base, Case},
    judge::LIMITS,
    kind::Kind,
    perturbation::Perturbation,
    problem::Problem,
    random::Rng,
    shrink::{judge, shrink},
    tensor::{Part, Tensor},
};

const SHAPE: ConvShape = ConvShape {
    in_channels: 32,
    out_channels: 64,
    height: 11,
    width: 13,
    kernel: 3,
    stride: 1,
    padding: 1,
    groups: 1,
};

/// A case without perturbations.
fn plain(direction: Direction) -> Case {
    Case {
        seed: 3,
        direction,
        shape: SHAPE,
        batch: 2,
        most: 2,
        mode: Mode::Train,
        has_factors: false,
        accumulate: false,
        norm: None,
        bases: [Base::Normal; 3],
        perturbations: Vec::new(),
    }
}

/// A case's result, of which a channel is off by a factor.
fn off(case: &Case, problem: &Problem, channel: usize, factor: f32) -> Vec<f32> {
    let mut got = problem.exact(case);
    let s = &case.shape;
    for (i, v) in got.iter_mut().enumerate() {
        let of = match case.direction {
            Direction::Forward => i % s.out_channels,
            Direction::BackwardData => i % s.in_channels,
            Direction::BackwardWeight => i / (9 * s.in_channels),
        };
        *v *= if of == channel { factor } else { 1.0 };
    }
    got
}

/// More than any bound of a direction, of a channel's own norm.
fn above_bound(direction: Direction) -> f32 {
    match direction {
        Direction::BackwardWeight => 2.0 * LIMITS.weight_products as f32,
        _ => 2.0 * LIMITS.rough_products as f32,
    }
}

#[test]
fn exact_results_are_within_all_bounds() {
    for direction in Direction::ALL {
        for seed in 0..60 {
            let case = Case::draw(seed, direction);
            let verdict = judge(&case, &|case, problem| problem.exact(case));
            assert!(verdict.ratio() < 0.51, "{case}: {verdict}");
        }
    }
}

/// The direct method, with weights in bfloat16, keeps every bound.
#[test]
fn the_direct_method_is_within_all_bounds() {
    let cpu = Cpu::new(1).unwrap().with_algorithms(Algorithms::Direct);
    for direction in Direction::ALL {
        for seed in 0..200 {
            // It fuses no batch norm.
            let case = Case { norm: None, ..Case::draw(seed, direction) };
            let verdict = judge(&case, &|case, problem| problem.run(case, &cpu));
            let rough = LIMITS.rough_products / LIMITS.products;
            assert!(verdict.ratio() < rough, "{case}: {verdict}");
        }
    }
}

#[test]
fn a_channel_that_is_off_is_found() {
    for direction in Direction::ALL {
        let case = plain(direction);
        let by = above_bound(direction);
        for factor in [1.0 + by, 1.0 - by, 0.0, f32::NAN, f32::INFINITY] {
            let verdict = judge(&case, &|case, problem| off(case, problem, 5, factor));
            assert!(verdict.fails(), "{direction:?} {factor}: {verdict}");
            let place = verdict.place();
            assert!(place.ends_with("channel 5") || place.starts_with("output channel 5 "));
        }
    }
}

/// A channel a millionth as large as others has a bound of its own, in any tensor.
#[test]
fn a_weak_channel_that_is_off_is_found() {
    for direction in Direction::ALL {
        let mut gains = (0..)
            .map(|seed| Perturbation::draw(direction, &mut Rng::new(seed, 0)))
            .filter(|h| h.kind.sizes_results(direction) && h.strength > 30.0);
        let case = Case { perturbations: vec![gains.next().unwrap()], ..plain(direction) };
        for channel in 0..32 {
            let factor = 1.0 + above_bound(direction);
            let verdict = judge(&case, &|case, problem| off(case, problem, channel, factor));
            assert!(verdict.fails(), "{direction:?} channel {channel}: {verdict}");
        }
    }
}

#[test]
fn cases_shrink_to_what_fails() {
    for direction in Direction::ALL {
        // A case with many perturbations, in which images of different sizes make a channel fail.
        let is_blamed = |h: &Perturbation| matches!(h.kind, Kind::GainsByImage(_));
        let has_it = |case: &Case| case.perturbations.iter().any(is_blamed);
        let mut drawn = (0..).map(|seed| Case::draw(seed, direction));
        let case = drawn.find(|case| has_it(case) && case.perturbations.len() == 4).unwrap();
        let kernel = |case: &Case, problem: &Problem| {
            let fails = has_it(case) && case.batch > 1 && case.shape.width > 2;
            off(case, problem, 1, if fails { f32::NAN } else { 1.0 })
        };
        let case = Case { batch: 7, most: case.most.max(7), ..case };
        assert!(judge(&case, &kernel).fails());
        let small = shrink(case, &kernel);
        assert!(judge(&small, &kernel).fails());
        let s = &small.shape;
        assert_eq!((small.batch, s.height, s.width), (2, 1, 3), "{small}");
        assert!(s.in_channels <= 32 && s.out_channels <= 32, "{small}");
        assert!(small.norm.is_none() && !small.accumulate && !small.has_factors, "{small}");
        assert_eq!(small.perturbations.len(), 1, "{small}");
        assert!(small.perturbations.iter().all(|h| is_blamed(h) && h.strength < 5.0), "{small}");
        let is_normal = |part: &Part| small.bases[*part as usize] == Base::Normal;
        assert!(Part::ALL.iter().all(|p| is_normal(p) || !small.reads(*p)), "{small}");
    }
}

/// The same seed gives the same case. Many seeds give all kinds.
#[test]
fn cases_follow_from_their_seeds() {
    for direction in Direction::ALL {
        let mut tags = BTreeSet::new();
        for seed in 0..2000 {
            let case = Case::draw(seed, direction);
            assert_eq!(case.to_string(), Case::draw(seed, direction).to_string());
            assert!(case.batch <= case.most && case.mode.has(direction));
            tags.extend(case.tags());
        }
        let expected = if direction == Direction::BackwardWeight { 40 } else { 35 };
        assert!(tags.len() >= expected, "{direction:?}: {} {tags:?}", tags.len());
    }
}

/// From the kernels' layout to PyTorch's: the last dimension becomes the second.
fn dense(t: &Tensor) -> Vec<f64> {
    let [a, b, c, d] = t.dims;
    let at = |i: usize| (i / (d * b * c) * b * c + i % (b * c)) * d + i / (b * c) % d;
    assert_eq!(t.values.len(), a * b * c * d);
    (0..t.values.len()).map(|i| t.values[at(i)]).collect()
}

#[test]
fn the_reference_is_that_of_the_kernels() {
    let shapes = [
        ConvShape { in_channels: 6, out_channels: 5, height: 7, width: 4, ..SHAPE },
        ConvShape { in_channels: 3, out_channels: 9, height: 6, width: 9, stride: 2, ..SHAPE },
        ConvShape { in_channels: 2, out_channels: 2, height: 1, width: 2, stride: 2, ..SHAPE },
    ];
    for s in shapes {
        let of = |part: Part| {
            let rng = &mut Rng::new(1, part as u64);
            Base::Normal.tensor(part.dims(&s, 3), rng)
        };
        let tensors = Part::ALL.map(of);
        let [x, w, dy] = [0, 1, 2].map(|i| dense(&tensors[i]));
        for (direction, part, want) in [
            (Direction::Forward, Part::Dy, reference::forward(&s, 3, &x, &w)),
            (Direction::BackwardData, Part::X, reference::backward_data(&s, 3, &dy, &w)),
            (Direction::BackwardWeight, Part::W, reference::backward_weight(&s, 3, &x, &dy)),
        ] {
            let values = crate::reference::compute(direction, &s, tensors.each_ref());
            let got = dense(&Tensor { dims: part.dims(&s, 3), values });
            assert_eq!(got.len(), want.len());
            let apart = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < 1e-12, "{s:?} {direction:?}: {apart}");
        }
    }
}
