//! Perturbations: factors on parts of a case's tensors.

use std::{fmt, ops::Range};

use resnet_kernels::conv::Direction;

use crate::{
    kind::{Axis, CHANNELS, Kind, SharedAxis, weighted_kinds},
    random::Rng,
    tensor::{Part, Tensor},
};

/// A kind of perturbation, and its strength.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Perturbation {
    pub(crate) kind: Kind,
    /// The factor, or the deviation of factors.
    pub(crate) strength: f64,
    seed: u64,
}

impl fmt::Display for Perturbation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times {:.1e}", self.kind, self.strength)
    }
}

impl Perturbation {
    /// A perturbation that changes the error of a direction.
    pub(crate) fn draw(direction: Direction, rng: &mut Rng) -> Self {
        let kind = rng.weighted(&weighted_kinds(direction));
        let small = [1e-2, 1e-3, 1e-4, 1e-6, 0.0];
        let strength = match kind {
            Kind::Gains(_) | Kind::GainsByImage(_) | Kind::Compensated(_) | Kind::Reciprocal(_) => {
                rng.power(0.2, 3.0)
            }
            Kind::Subset(_) | Kind::AllButOne(_) | Kind::Kernels => rng.one_of(&small),
            Kind::Localised(_) => 0.0,
            Kind::Pattern(_) | Kind::PatternOfKernels if rng.chance(0.7) => rng.one_of(&small),
            Kind::Pattern(_) | Kind::PatternOfKernels => rng.power(1.0, 4.0),
            Kind::Single(_)
            | Kind::Values(_)
            | Kind::Pixels(_)
            | Kind::LargeHalfRead(_)
            | Kind::Mismatched(_) => rng.power(1.0, 5.0),
            Kind::All(_) => {
                let powers = [(3, -10.0), (3, -20.0), (3, -30.0), (2, -38.0), (2, 10.0)];
                let large = [(2, 18.0), (2, 25.0), (1, f64::NEG_INFINITY)];
                10f64.powf(rng.weighted(&[&powers[..], &large].concat()))
            }
        };
        Perturbation { kind, strength, seed: rng.bits() }
    }

    /// The same, nearer to a factor of 1; none if it cannot be, or is near already.
    pub(crate) fn weaker(self) -> Option<Self> {
        let is_near = (0.2..5.0).contains(&self.strength) || self.strength == 0.0;
        (!is_near).then(|| Perturbation { strength: self.strength.sqrt(), ..self })
    }

    /// Multiplies `x`, `w` and `dy`.
    pub(crate) fn apply(self, tensors: &mut [Tensor; 3]) {
        let Perturbation { kind, strength, seed } = self;
        let mut rng = Rng::new(seed, 0);
        let along = |tensors: &mut [Tensor; 3], axis: Axis, factors: &[f64]| {
            tensors[axis.0 as usize].multiply(|at| factors[at[axis.1]]);
        };
        let size = |tensors: &[Tensor; 3], axis: Axis| tensors[axis.0 as usize].dims[axis.1];
        match kind {
            Kind::Gains(axis) => {
                let factors = gains(size(tensors, axis), strength, &mut rng);
                along(tensors, axis, &factors);
            }
            Kind::GainsByImage(part) => {
                let tensor = &mut tensors[part as usize];
                let [images, _, _, channels] = tensor.dims;
                let factors = gains(images * channels, strength, &mut rng);
                tensor.multiply(|[image, _, _, c]| factors[image * channels + c]);
            }
            Kind::Compensated(part) => {
                let (axis, weights) = read_by(part);
                let factors = gains(size(tensors, axis), strength, &mut rng);
                along(tensors, axis, &factors);
                along(tensors, weights, &reciprocals(&factors));
            }
            Kind::Reciprocal(places) => {
                let places = Bands::of(places, tensors);
                let factors = gains(places.count, strength, &mut rng);
                let reverse = reciprocals(&factors);
                for (part, factors) in [(Part::X, factors), (Part::Dy, reverse)] {
                    tensors[part as usize].multiply(|at| factors[places.at(part, at)]);
                }
            }
            Kind::Subset(axis) => {
                let share = rng.one_of(&[0.05, 0.5, 0.9]);
                let factors: Vec<f64> = (0..size(tensors, axis))
                    .map(|_| if rng.chance(share) { strength } else { 1.0 })
                    .collect();
                along(tensors, axis, &factors);
            }
            Kind::Single(axis) | Kind::AllButOne(axis) => {
                let n = size(tensors, axis);
                let (one, others) =
                    if kind == Kind::Single(axis) { (strength, 1.0) } else { (1.0, strength) };
                let chosen = rng.below(n);
                let factors: Vec<f64> =
                    (0..n).map(|i| if i == chosen { one } else { others }).collect();
                along(tensors, axis, &factors);
            }
            Kind::Pattern(axis) => {
                let pattern = Pattern::draw(&mut rng, size(tensors, axis));
                let factors: Vec<f64> = (0..size(tensors, axis))
                    .map(|i| if pattern.has(i) { strength } else { 1.0 })
                    .collect();
                along(tensors, axis, &factors);
            }
            Kind::Kernels => {
                let w = &mut tensors[Part::W as usize];
                let share = rng.one_of(&[0.5, 0.9]);
                let inputs = w.dims[CHANNELS];
                let factors: Vec<f64> = (0..w.dims[0] * inputs)
                    .map(|_| if rng.chance(share) { strength } else { 1.0 })
                    .collect();
                w.multiply(|[out, _, _, c]| factors[out * inputs + c]);
            }
            Kind::PatternOfKernels => {
                let w = &mut tensors[Part::W as usize];
                let outs = Pattern::draw(&mut rng, w.dims[0]);
                let ins = Pattern::draw(&mut rng, w.dims[CHANNELS]);
                let is_within = rng.chance(0.7);
                w.multiply(
                    |[out, _, _, c]| {
                        if (outs.has(out) && ins.has(c)) == is_within { strength } else { 1.0 }
                    },
                );
            }
            Kind::Values(part) => {
                let values = &mut tensors[part as usize].values;
                for _ in 0..rng.between(1, 8) {
                    let at = rng.below(values.len());
                    values[at] *= strength;
                }
            }
            Kind::Pixels(part) => {
                let tensor = &mut tensors[part as usize];
                let channels = tensor.dims[CHANNELS];
                let pixels = tensor.values.len() / channels;
                let share = rng.one_of(&[0.05, 1.0]);
                for _ in 0..rng.between(1, 4) {
                    let at = rng.below(pixels) * channels;
                    for value in &mut tensor.values[at..at + channels] {
                        *value *= if rng.chance(share) { strength } else { 1.0 };
                    }
                }
            }
            Kind::LargeHalfRead(part) => {
                let (axis, weights) = read_by(part);
                let chosen = rng.below(size(tensors, axis));
                let activation = &mut tensors[part as usize];
                let place = if rng.chance(0.5) { None } else { Some(place(activation, &mut rng)) };
                activation.multiply(|at| {
                    let is_large = place.as_ref().is_none_or(|place| is_within(at, place));
                    if at[CHANNELS] == chosen && is_large { strength } else { 1.0 }
                });
                let w = &mut tensors[Part::W as usize];
                let across = CHANNELS - weights.1;
                let little = rng.one_of(&[0.0, 0.0, 1e-6]);
                let reads: Vec<bool> = (0..w.dims[across]).map(|_| rng.chance(0.5)).collect();
                w.multiply(|at| {
                    if at[weights.1] == chosen && !reads[at[across]] { little } else { 1.0 }
                });
            }
            Kind::Localised(part) => {
                let tensor = &mut tensors[part as usize];
                let (place, channel) = (place(tensor, &mut rng), rng.below(tensor.dims[CHANNELS]));
                tensor.multiply(|at| {
                    let is_kept = at[CHANNELS] != channel || is_within(at, &place);
                    if is_kept { 1.0 } else { strength }
                });
            }
            Kind::Mismatched(places) => {
                let places = Bands::of(places, tensors);
                let chosen = rng.below(places.count);
                let small = rng.one_of(&[0.0, strength.powi(-2)]);
                for (part, factor) in [(Part::X, strength), (Part::Dy, small)] {
                    tensors[part as usize]
                        .multiply(|at| if places.at(part, at) == chosen { factor } else { 1.0 });
                }
            }
            Kind::All(part) => tensors[part as usize].multiply(|_| strength),
        }
    }
}

/// The channels of an activation, and the weights that read them.
fn read_by(part: Part) -> (Axis, Axis) {
    (Axis(part, CHANNELS), Axis(Part::W, if part == Part::X { CHANNELS } else { 0 }))
}

fn gains(n: usize, deviation: f64, rng: &mut Rng) -> Vec<f64> {
    (0..n).map(|_| deviation.powf(rng.normal()).clamp(1e-6, 1e6)).collect()
}

fn reciprocals(factors: &[f64]) -> Vec<f64> {
    factors.iter().map(|f| 1.0 / f).collect()
}

/// An image, some rows of one, or a pixel.
fn place(t: &Tensor, rng: &mut Rng) -> [Range<usize>; 3] {
    let [images, rows, columns, _] = t.dims;
    let [image, row, column] = [images, rows, columns].map(|n| rng.below(n));
    let whole = (0..rows, 0..columns);
    let (rows, columns) = match rng.below(3) {
        0 => whole,
        1 => (row..rows.min(row + 3), whole.1),
        _ => (row..row + 1, column..column + 1),
    };
    [image..image + 1, rows, columns]
}

fn is_within(at: [usize; 4], place: &[Range<usize>; 3]) -> bool {
    place.iter().zip(at).all(|(range, at)| range.contains(&at))
}

/// [`SharedAxis`] of `x` and `dy`.
struct Bands {
    places: SharedAxis,
    count: usize,
    stride: usize,
}

impl Bands {
    fn of(places: SharedAxis, [x, _, dy]: &[Tensor; 3]) -> Self {
        let stride = x.dims[1].div_ceil(dy.dims[1]);
        let count = if places == SharedAxis::Images { dy.dims[0] } else { dy.dims[1].div_ceil(4) };
        Bands { places, count, stride }
    }

    /// The place of a value.
    fn at(&self, part: Part, at: [usize; 4]) -> usize {
        match self.places {
            SharedAxis::Images => at[0],
            SharedAxis::Bands if part == Part::X => at[1] / (4 * self.stride),
            SharedAxis::Bands => at[1] / 4,
        }
    }
}

/// A subset that an implementation with samples, panels or blocks might miss.
struct Pattern {
    start: usize,
    end: usize,
    step: usize,
}

impl Pattern {
    fn draw(rng: &mut Rng, n: usize) -> Self {
        match rng.below(3) {
            0 => {
                let step = rng.one_of(&[1, 2, 4, 8, 16, 32]).min(n);
                Pattern { start: rng.below(step), end: n, step }
            }
            1 => {
                let start = rng.below(n);
                Pattern { start, end: start + 1, step: 1 }
            }
            _ => {
                let run = rng.one_of(&[2, 4, 8, 16, 32]).min(n);
                let start = rng.below(n / run) * run;
                Pattern { start, end: start + run, step: 1 }
            }
        }
    }

    fn has(&self, i: usize) -> bool {
        (self.start..self.end).contains(&i) && (i - self.start).is_multiple_of(self.step)
    }
}
