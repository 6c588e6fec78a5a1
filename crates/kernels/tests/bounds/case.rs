//! A case: a shape, a direction, and how its tensors are made.

use std::fmt;

use resnet_kernels::conv::{ConvShape, Direction, Mode};

use crate::{
    perturbation::Perturbation,
    random::Rng,
    tensor::{Part, Tensor},
};

/// The distribution of a tensor before perturbations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Normal,
    /// Normal, none negative.
    Relu,
    /// Normal, one in ten, or in fifty.
    Sparse,
    /// Every channel of an image one value; every kernel, of weights.
    Constant,
    /// The same with a hundredth of noise, and a slope.
    Smooth,
    /// One value times waves along rows and columns, with a hundredth of noise. All of a tile may
    /// fall on one coefficient of its transform, or cancel.
    Waves,
}

impl Base {
    pub(crate) const fn name(self) -> &'static str {
        ["normal", "ReLU", "sparse", "constant", "smooth", "waves of"][self as usize]
    }

    fn draw(part: Part, rng: &mut Rng) -> Self {
        let hard = [(10, Base::Sparse), (6, Base::Constant), (8, Base::Smooth), (8, Base::Waves)];
        let usual = match part {
            Part::X => [(35, Base::Normal), (35, Base::Relu)],
            _ => [(100, Base::Normal), (0, Base::Relu)],
        };
        rng.weighted(&[&usual[..], &hard].concat())
    }

    /// A tensor of this distribution.
    pub(crate) fn tensor(self, dims: [usize; 4], rng: &mut Rng) -> Tensor {
        let [images, rows, columns, channels] = dims;
        let mut tensor = Tensor { dims, values: rng.normals(dims.iter().product()) };
        let means = match self {
            Base::Constant | Base::Smooth | Base::Waves => rng.normals(images * channels),
            _ => Vec::new(),
        };
        match self {
            Base::Normal => {}
            Base::Relu => tensor.values.iter_mut().for_each(|v| *v = v.max(0.0)),
            Base::Sparse => {
                let share = rng.one_of(&[0.1, 0.1, 0.02]);
                tensor.multiply(|_| if rng.chance(share) { 1.0 } else { 0.0 });
            }
            Base::Constant => {
                tensor.values.fill(1.0);
                tensor.multiply(|[image, _, _, c]| means[image * channels + c]);
            }
            Base::Smooth => {
                tensor.values.iter_mut().for_each(|v| *v = 1.0 + *v / 100.0);
                tensor.multiply(|[image, row, column, c]| {
                    let slope = (row * columns + column) as f64 / columns as f64 / 20.0;
                    means[image * channels + c] * (1.0 + slope)
                });
            }
            Base::Waves => {
                let period = rng.one_of(&[2, 3, 4]);
                // Powers of the points, and what they make zero.
                let heights = [0.0, 1.0, -1.0, 1.0, -1.0, 2.0 / 3.0, -1.5, 4.0 / 9.0, 2.25];
                let mut wave = || [(); 4].map(|()| rng.one_of(&heights));
                let (down, across) = (wave(), wave());
                tensor.values.iter_mut().for_each(|v| *v /= 100.0);
                for (i, v) in tensor.values.iter_mut().enumerate() {
                    let (pixel, c) = (i / channels, i % channels);
                    let (row, column) = (pixel / columns % rows, pixel % columns);
                    let height = down[row % period] * across[column % period];
                    *v += height * means[pixel / (rows * columns) * channels + c];
                }
            }
        }
        tensor
    }
}

/// A batch norm that is fused into the load of `x`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    /// Whether channels have about the same size after it.
    pub(crate) evens: bool,
    /// The shift, in standard deviations.
    pub(crate) shift: f64,
    pub(crate) seed: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) direction: Direction,
    pub(crate) shape: ConvShape,
    pub(crate) batch: usize,
    /// The largest batch that the convolution is prepared for.
    pub(crate) most: usize,
    pub(crate) mode: Mode,
    /// Whether output channels have scales (in inference only).
    pub(crate) has_factors: bool,
    /// Whether the gradient of the input is added to one.
    pub(crate) accumulate: bool,
    pub(crate) norm: Option<Norm>,
    /// Of `x`, `w` and `dy`.
    pub(crate) bases: [Base; 3],
    pub(crate) perturbations: Vec<Perturbation>,
}

impl Case {
    /// The case of a seed.
    pub(crate) fn draw(seed: u64, direction: Direction) -> Self {
        let rng = &mut Rng::new(seed, 1 + direction as u64);
        let (shape, batch) = shape(rng);
        let least = least_batch(&shape);
        let spare = if rng.chance(0.2) { rng.between(1, 40) } else { 0 };
        let mode = match direction {
            Direction::Forward => rng.one_of(&[Mode::Train, Mode::TrainFirst, Mode::Inference]),
            Direction::BackwardData => Mode::Train,
            Direction::BackwardWeight => rng.one_of(&[Mode::Train, Mode::TrainFirst]),
        };
        let through_norm = direction != Direction::BackwardData
            && mode != Mode::Inference
            && is_winograd(&shape)
            && rng.chance(0.3);
        let norm = through_norm.then(|| Norm {
            evens: rng.chance(0.7),
            shift: rng.one_of(&[0.3, 1.0, 5.0]),
            seed: rng.bits(),
        });
        let perturbations = rng.weighted(&[(5, 0), (30, 1), (30, 2), (20, 3), (15, 4)]);
        Case {
            seed,
            direction,
            shape,
            batch,
            most: batch.max(least) + spare,
            mode,
            has_factors: mode == Mode::Inference && rng.chance(0.5),
            accumulate: direction == Direction::BackwardData && rng.chance(0.5),
            norm,
            bases: Part::ALL.map(|part| Base::draw(part, rng)),
            perturbations: (0..perturbations).map(|_| Perturbation::draw(direction, rng)).collect(),
        }
    }

    /// Whether a direction reads a tensor.
    pub(crate) fn reads(&self, part: Part) -> bool {
        match self.direction {
            Direction::Forward => part != Part::Dy,
            Direction::BackwardData => part != Part::X,
            Direction::BackwardWeight => part != Part::W,
        }
    }

    /// The tags by which a report counts it.
    pub(crate) fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.perturbations.iter().map(|h| h.kind.to_string()).collect();
        for part in Part::ALL {
            let base = self.bases[part as usize];
            if self.reads(part) && base != Base::Normal {
                tags.push(format!("{} {}", base.name(), part.name()));
            }
        }
        let also = [
            (self.norm.is_some(), "(norm)"),
            (self.accumulate, "(accumulate)"),
            (self.mode == Mode::Inference, "(inference)"),
            (self.has_factors, "(factors)"),
            (self.shape.stride == 2, "(stride 2)"),
            (!is_winograd(&self.shape), "(direct)"),
        ];
        tags.extend(also.iter().filter(|(is_so, _)| *is_so).map(|(_, tag)| (*tag).to_owned()));
        if tags.is_empty() {
            tags.push("(plain)".to_owned());
        }
        tags.sort();
        tags.dedup();
        tags
    }

    /// Simpler cases, the simplest first.
    pub(crate) fn simpler(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        let mut with = |change: &dyn Fn(&mut Case)| {
            let mut case = self.clone();
            change(&mut case);
            // Only Winograd's algorithm reads through a batch norm.
            if case.norm.is_none() || is_winograd(&case.shape) {
                cases.push(case);
            }
        };
        for i in 0..self.perturbations.len() {
            with(&|case| _ = case.perturbations.remove(i));
        }
        if self.norm.is_some() {
            with(&|case| case.norm = None);
        }
        if self.has_factors {
            with(&|case| case.has_factors = false);
        }
        if self.accumulate {
            with(&|case| case.accumulate = false);
        }
        for part in Part::ALL {
            if self.reads(part) && self.bases[part as usize] != Base::Normal {
                with(&|case| case.bases[part as usize] = Base::Normal);
            }
        }
        let s = &self.shape;
        for batch in halves(self.batch, 1) {
            with(&|case| case.batch = batch);
        }
        for height in halves(s.height, 1) {
            with(&|case| case.shape.height = height);
        }
        for width in halves(s.width, 1) {
            with(&|case| case.shape.width = width);
        }
        let unit = if is_winograd(s) { 32 } else { 16 };
        for channels in halves(s.in_channels / unit, 1) {
            with(&|case| case.shape.in_channels = channels * unit);
        }
        for channels in halves(s.out_channels / unit, 1) {
            with(&|case| case.shape.out_channels = channels * unit);
        }
        for (i, perturbation) in self.perturbations.iter().enumerate() {
            if let Some(weaker) = perturbation.weaker() {
                with(&|case| case.perturbations[i] = weaker);
            }
        }
        // As many images more than needed, or none.
        let least = |case: &Case| case.batch.max(least_batch(&case.shape));
        let spare = self.most - least(self);
        cases.iter_mut().for_each(|case| case.most = least(case) + spare);
        if spare > 0 {
            cases.push(Case { most: least(self), ..self.clone() });
        }
        cases
    }
}

/// Half of `n`, and one less than `n`, where they are at least `least`.
fn halves(n: usize, least: usize) -> impl Iterator<Item = usize> {
    let smaller = [(n / 2).max(least), n.saturating_sub(1).max(least)];
    let count = if smaller[0] == smaller[1] { 1 } else { 2 };
    smaller.into_iter().take(count).filter(move |&m| m < n)
}

/// Whether Winograd's algorithm serves it in bfloat16, with enough images.
pub(crate) fn is_winograd(s: &ConvShape) -> bool {
    // The direct method serves images of 2x2 and less.
    [s.in_channels, s.out_channels].iter().all(|c| c % 32 == 0) && s.height * s.width > 4
}

/// The smallest batch that Winograd's algorithm serves: with a stride of 2, 32 tiles of 4x4
/// outputs.
fn least_batch(s: &ConvShape) -> usize {
    let tiles = s.out_height().div_ceil(4) * s.out_width().div_ceil(4);
    if s.stride == 2 { 32usize.div_ceil(tiles) } else { 1 }
}

/// A shape and a batch that take little time.
fn shape(rng: &mut Rng) -> (ConvShape, usize) {
    let is_wide = rng.chance(0.03);
    let is_direct = rng.chance(0.03);
    let usual = [(44, 32), (30, 64), (12, 96), (10, 128), (2, 160), (2, 192)];
    let channels = |rng: &mut Rng| match (is_wide, is_direct) {
        (true, _) => rng.weighted(&[(4, 32), (4, 64), (3, 256), (1, 512)]),
        (_, true) => rng.one_of(&[16, 48]),
        _ => rng.weighted(&usual),
    };
    let (in_channels, out_channels) = (channels(rng), channels(rng));
    // Images that are large, or many.
    let (is_large, are_many) = (!is_wide && rng.chance(0.03), rng.chance(0.03));
    let side = |rng: &mut Rng| match (is_wide, is_large, are_many) {
        (true, _, _) => 4,
        (_, true, _) => rng.between(20, 40),
        (_, _, true) => rng.between(1, 6),
        _ => rng.between(3, 20),
    };
    let (height, width) = (side(rng), side(rng));
    let stride = rng.weighted(&[(65, 1), (35, 2)]);
    let mut s = ConvShape {
        in_channels,
        out_channels,
        height,
        width,
        kernel: 3,
        stride,
        padding: 1,
        groups: 1,
    };
    let mut batch = if are_many { rng.between(10, 60) } else { rng.between(1, 9) };
    let is_more = is_wide || is_large || are_many;
    let most = rng.power(5.8, 7.5) as usize * if is_more { 4 } else { 1 };
    while batch > 1 && batch * s.macs() > most {
        batch -= 1;
    }
    while s.height.max(s.width) > 4 && s.macs() > most {
        let longest = if s.height > s.width { &mut s.height } else { &mut s.width };
        *longest -= 1;
    }
    (s, batch)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.shape;
        write!(f, "{:?} of {}x{}x{}", self.direction, self.batch, s.height, s.width)?;
        write!(f, ", {} to {} channels, stride {}", s.in_channels, s.out_channels, s.stride)?;
        write!(f, ", {:?} for up to {}", self.mode, self.most)?;
        for part in Part::ALL.into_iter().filter(|&part| self.reads(part)) {
            write!(f, ", {} {}", self.bases[part as usize].name(), part.name())?;
        }
        if let Some(norm) = self.norm {
            let evens = if norm.evens { ", which evens channels" } else { "" };
            write!(f, ", through a norm{evens} (shift {})", norm.shift)?;
        }
        if self.has_factors {
            write!(f, ", with factors")?;
        }
        if self.accumulate {
            write!(f, ", accumulated")?;
        }
        for perturbation in &self.perturbations {
            write!(f, "; {perturbation}")?;
        }
        Ok(())
    }
}
