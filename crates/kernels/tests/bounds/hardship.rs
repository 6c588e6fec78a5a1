//! What makes a case hard: factors on parts of its tensors.

use std::fmt;

use resnet_kernels::conv::Direction;

use crate::{
    random::Rng,
    tensor::{Part, Tensor},
};

/// A dimension of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis(Part, usize);

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self.0 {
            Part::W => ["outputs", "kernel rows", "kernel columns", "inputs"],
            _ => ["images", "rows", "columns", "channels"],
        };
        write!(f, "{} of {}", names[self.1], self.0.name())
    }
}

const CHANNELS: usize = 3;

/// What a factor falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every one of an axis has a log-normal factor, whose logarithm deviates by that of the strength,
    /// within 1e-6..1e6.
    Gains(Axis),
    /// The same for every channel of every image.
    GainsByImage(Part),
    /// Channels have gains, weights that read them the reverse.
    Balanced(Part),
    /// Some of an axis.
    Some(Axis),
    /// One of an axis.
    One(Axis),
    /// All but one of an axis.
    Others(Axis),
    /// Those of an axis with some residue of 2, 4, 8, 16 or 32, or all but those.
    Residue(Axis),
    /// A random half, or nine tenths, of the kernels.
    Kernels,
    /// Kernels of some outputs and some inputs that have a pattern.
    Pattern,
    /// Some single values.
    Values(Part),
    /// Some pixels, in all channels or in a few.
    Pixels(Part),
    /// A channel is large; half of what reads it has weights of zero to it.
    HalfRead(Part),
    /// A channel is nothing but in one image.
    OneImage(Part),
    /// An image of `x` is large; its `dy` is as much smaller, squared, or zero.
    Apart,
    /// Images have sizes, in `dy` the reverse of `x`.
    Opposite,
    /// All of a tensor.
    All(Part),
}

impl Kind {
    /// Whether it gives every channel of a direction's result a size of its own.
    pub(crate) fn sizes_results(self, direction: Direction) -> bool {
        self == match direction {
            Direction::Forward => Kind::Gains(Axis(Part::W, 0)),
            Direction::BackwardData => Kind::Gains(Axis(Part::W, CHANNELS)),
            Direction::BackwardWeight => Kind::Gains(Axis(Part::Dy, CHANNELS)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Gains(axis) => write!(f, "gains of {axis}"),
            Kind::GainsByImage(part) => write!(f, "gains of {} by image", part.name()),
            Kind::Balanced(part) => write!(f, "gains of {} that w reverses", part.name()),
            Kind::Some(axis) => write!(f, "some {axis}"),
            Kind::One(axis) => write!(f, "one of the {axis}"),
            Kind::Others(axis) => write!(f, "all but one of the {axis}"),
            Kind::Residue(axis) => write!(f, "a residue of the {axis}"),
            Kind::Kernels => write!(f, "random kernels"),
            Kind::Pattern => write!(f, "a pattern of kernels"),
            Kind::Values(part) => write!(f, "values of {}", part.name()),
            Kind::Pixels(part) => write!(f, "pixels of {}", part.name()),
            Kind::HalfRead(part) => write!(f, "half-read channel of {}", part.name()),
            Kind::OneImage(part) => write!(f, "channel of {} in one image", part.name()),
            Kind::Apart => write!(f, "image of x without dy"),
            Kind::Opposite => write!(f, "sizes of images, dy against x"),
            Kind::All(part) => write!(f, "all of {}", part.name()),
        }
    }
}

/// A kind, and how hard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hardship {
    pub(crate) kind: Kind,
    /// The factor, or the deviation of factors.
    pub(crate) strength: f64,
    seed: u64,
}

impl fmt::Display for Hardship {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times {:.1e}", self.kind, self.strength)
    }
}

/// Which kinds a direction can tell.
fn menu(direction: Direction) -> Vec<(u32, Kind)> {
    let (read, rest): (&[Part], &[(u32, Kind)]) = match direction {
        Direction::Forward => (&[Part::X], &[(3, Kind::Balanced(Part::X))]),
        Direction::BackwardData => (&[Part::Dy], &[(3, Kind::Balanced(Part::Dy))]),
        Direction::BackwardWeight => {
            (&[Part::X, Part::Dy], &[(6, Kind::Apart), (6, Kind::Opposite)])
        }
    };
    let mut kinds = rest.to_vec();
    for &part in read {
        let [images, rows, channels] = [0, 1, CHANNELS].map(|dim| Axis(part, dim));
        kinds.extend([
            (4, Kind::Gains(channels)),
            (2, Kind::Gains(images)),
            (1, Kind::Gains(rows)),
            (2, Kind::GainsByImage(part)),
            (2, Kind::Some(channels)),
            (1, Kind::Some(images)),
            (2, Kind::One(channels)),
            (2, Kind::One(images)),
            (1, Kind::Others(channels)),
            (2, Kind::Others(images)),
            (2, Kind::Residue(channels)),
            (1, Kind::Residue(images)),
            (1, Kind::Residue(rows)),
            (1, Kind::Values(part)),
            (3, Kind::Pixels(part)),
            (2, Kind::OneImage(part)),
            (2, Kind::All(part)),
        ]);
        if direction != Direction::BackwardWeight {
            kinds.push((4, Kind::HalfRead(part)));
        }
    }
    if direction != Direction::BackwardWeight {
        for axis in [Axis(Part::W, 0), Axis(Part::W, CHANNELS)] {
            kinds.extend([
                (4, Kind::Gains(axis)),
                (2, Kind::Some(axis)),
                (1, Kind::One(axis)),
                (1, Kind::Others(axis)),
                (2, Kind::Residue(axis)),
            ]);
        }
        kinds.extend([
            (5, Kind::Kernels),
            (6, Kind::Pattern),
            (2, Kind::Values(Part::W)),
            (2, Kind::All(Part::W)),
        ]);
    }
    kinds
}

impl Hardship {
    /// One that a direction can tell.
    pub(crate) fn draw(direction: Direction, rng: &mut Rng) -> Self {
        let kind = rng.weighted(&menu(direction));
        let small = [1.0, 1e-2, 1e-3, 1e-4, 1e-6, 0.0];
        let strength = match kind {
            Kind::Gains(_) | Kind::GainsByImage(_) | Kind::Balanced(_) | Kind::Opposite => {
                rng.power(0.2, 3.0)
            }
            Kind::Some(_) | Kind::Others(_) | Kind::Kernels | Kind::Pattern => {
                rng.one_of(&small[1..])
            }
            Kind::OneImage(_) => 0.0,
            Kind::Residue(_) if rng.chance(0.7) => rng.one_of(&small[1..]),
            Kind::Residue(_) => rng.power(1.0, 4.0),
            Kind::One(_) | Kind::Values(_) | Kind::Pixels(_) | Kind::HalfRead(_) | Kind::Apart => {
                rng.power(1.0, 5.0)
            }
            Kind::All(_) => {
                let powers = [(3, -10.0), (3, -20.0), (3, -30.0), (2, -38.0), (2, 10.0)];
                let large = [(2, 18.0), (2, 25.0), (1, f64::NEG_INFINITY)];
                10f64.powf(rng.weighted(&[&powers[..], &large].concat()))
            }
        };
        Hardship { kind, strength, seed: rng.bits() }
    }

    /// The same, nearer to a factor of 1; none if it cannot be, or is near already.
    pub(crate) fn weaker(self) -> Option<Self> {
        let is_near = (0.2..5.0).contains(&self.strength) || self.strength == 0.0;
        (!is_near).then(|| Hardship { strength: self.strength.sqrt(), ..self })
    }

    /// Multiplies `x`, `w` and `dy`.
    pub(crate) fn apply(self, tensors: &mut [Tensor; 3]) {
        let Hardship { kind, strength, seed } = self;
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
            Kind::Balanced(part) => {
                let (axis, weights) = read_by(part);
                let factors = gains(size(tensors, axis), strength, &mut rng);
                along(tensors, axis, &factors);
                along(tensors, weights, &reciprocals(&factors));
            }
            Kind::Opposite => {
                let images = Axis(Part::X, 0);
                let factors = gains(size(tensors, images), strength, &mut rng);
                along(tensors, images, &factors);
                along(tensors, Axis(Part::Dy, 0), &reciprocals(&factors));
            }
            Kind::Some(axis) => {
                let share = rng.one_of(&[0.05, 0.5, 0.9]);
                let factors: Vec<f64> = (0..size(tensors, axis))
                    .map(|_| if rng.chance(share) { strength } else { 1.0 })
                    .collect();
                along(tensors, axis, &factors);
            }
            Kind::One(axis) | Kind::Others(axis) => {
                let n = size(tensors, axis);
                let (one, others) =
                    if kind == Kind::One(axis) { (strength, 1.0) } else { (1.0, strength) };
                let chosen = rng.below(n);
                let factors: Vec<f64> =
                    (0..n).map(|i| if i == chosen { one } else { others }).collect();
                along(tensors, axis, &factors);
            }
            Kind::Residue(axis) => {
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
            Kind::Pattern => {
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
            Kind::HalfRead(part) => {
                let (axis, weights) = read_by(part);
                let chosen = rng.below(size(tensors, axis));
                tensors[part as usize]
                    .multiply(|at| if at[axis.1] == chosen { strength } else { 1.0 });
                let w = &mut tensors[Part::W as usize];
                let across = CHANNELS - weights.1;
                let reads: Vec<bool> = (0..w.dims[across]).map(|_| rng.chance(0.5)).collect();
                w.multiply(
                    |at| {
                        if at[weights.1] == chosen && !reads[at[across]] { 0.0 } else { 1.0 }
                    },
                );
            }
            Kind::OneImage(part) => {
                let tensor = &mut tensors[part as usize];
                let image = rng.below(tensor.dims[0]);
                let channel = rng.below(tensor.dims[CHANNELS]);
                tensor.multiply(
                    |[n, _, _, c]| {
                        if c == channel && n != image { strength } else { 1.0 }
                    },
                );
            }
            Kind::Apart => {
                let image = rng.below(tensors[0].dims[0]);
                let small = rng.one_of(&[0.0, strength.powi(-2)]);
                for (part, factor) in [(Part::X, strength), (Part::Dy, small)] {
                    tensors[part as usize]
                        .multiply(|[n, ..]| if n == image { factor } else { 1.0 });
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

/// Some of many, as an implementation that looks at samples, panels or blocks would see them.
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
