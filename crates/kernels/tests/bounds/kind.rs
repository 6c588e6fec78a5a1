//! Kinds of perturbations.

use std::fmt;

use resnet_kernels::conv::Direction;

use crate::tensor::Part;

/// A dimension of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis(pub(crate) Part, pub(crate) usize);

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self.0 {
            Part::W => ["outputs", "kernel rows", "kernel columns", "inputs"],
            _ => ["images", "rows", "columns", "channels"],
        };
        write!(f, "{} of {}", names[self.1], self.0.name())
    }
}

/// The last dimension.
pub(crate) const CHANNELS: usize = 3;

/// Regions that `x` and `dy` share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharedAxis {
    Images,
    /// Four rows of outputs, and the rows that are between the same edges in `x`.
    Bands,
}

impl fmt::Display for SharedAxis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == SharedAxis::Images { "images" } else { "bands" })
    }
}

/// What is multiplied by a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each index of an axis has a log-normal factor within 1e-6..1e6. The standard deviation of
    /// its logarithm is the logarithm of the strength.
    Gains(Axis),
    /// The same for every channel of every image.
    GainsByImage(Part),
    /// Channels have gains, and the weights that read them the reciprocals.
    Compensated(Part),
    /// Some of an axis.
    Subset(Axis),
    /// One of an axis.
    Single(Axis),
    /// All but one of an axis.
    AllButOne(Axis),
    /// Indices of an axis with a pattern: a residue, one, or a run.
    Pattern(Axis),
    /// A random half, or nine tenths, of the kernels.
    Kernels,
    /// Kernels of outputs and inputs that have patterns, or all but those.
    PatternOfKernels,
    /// Some single values.
    Values(Part),
    /// Some pixels, in all channels or in a few.
    Pixels(Part),
    /// One channel is large, everywhere or in one place; half of the kernels have zero or tiny
    /// weights for it.
    LargeHalfRead(Part),
    /// One channel is non-zero only in one image, some of its rows, or one pixel.
    Localised(Part),
    /// An image of `x`, or a band of all images, is scaled by s; its `dy` by 1/s², or by 0.
    Mismatched(SharedAxis),
    /// Images or bands have gains in `x`, and their reciprocals in `dy`.
    Reciprocal(SharedAxis),
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
            Kind::Compensated(part) => write!(f, "gains of {} that w compensates", part.name()),
            Kind::Subset(axis) => write!(f, "some {axis}"),
            Kind::Single(axis) => write!(f, "one of the {axis}"),
            Kind::AllButOne(axis) => write!(f, "all but one of the {axis}"),
            Kind::Pattern(axis) => write!(f, "a pattern of the {axis}"),
            Kind::Kernels => write!(f, "random kernels"),
            Kind::PatternOfKernels => write!(f, "a pattern of kernels"),
            Kind::Values(part) => write!(f, "values of {}", part.name()),
            Kind::Pixels(part) => write!(f, "pixels of {}", part.name()),
            Kind::LargeHalfRead(part) => write!(f, "half-read channel of {}", part.name()),
            Kind::Localised(part) => write!(f, "channel of {} in one place", part.name()),
            Kind::Mismatched(places) => write!(f, "outlier {places} in x, small dy"),
            Kind::Reciprocal(places) => write!(f, "reciprocal gains of {places} in x and dy"),
            Kind::All(part) => write!(f, "all of {}", part.name()),
        }
    }
}

/// The kinds that change the error of a direction.
pub(crate) fn weighted_kinds(direction: Direction) -> Vec<(u32, Kind)> {
    let (read, rest): (&[Part], &[(u32, Kind)]) = match direction {
        Direction::Forward => (&[Part::X], &[(3, Kind::Compensated(Part::X))]),
        Direction::BackwardData => (&[Part::Dy], &[(3, Kind::Compensated(Part::Dy))]),
        Direction::BackwardWeight => {
            const BOTH: [(u32, Kind); 4] = [
                (5, Kind::Mismatched(SharedAxis::Images)),
                (3, Kind::Mismatched(SharedAxis::Bands)),
                (5, Kind::Reciprocal(SharedAxis::Images)),
                (3, Kind::Reciprocal(SharedAxis::Bands)),
            ];
            (&[Part::X, Part::Dy], &BOTH)
        }
    };
    let mut kinds = rest.to_vec();
    for &part in read {
        let [images, rows, columns, channels] = [0, 1, 2, CHANNELS].map(|dim| Axis(part, dim));
        kinds.extend([
            (4, Kind::Gains(channels)),
            (2, Kind::Gains(images)),
            (1, Kind::Gains(rows)),
            (1, Kind::Gains(columns)),
            (2, Kind::GainsByImage(part)),
            (2, Kind::Subset(channels)),
            (1, Kind::Subset(images)),
            (2, Kind::Single(channels)),
            (2, Kind::Single(images)),
            (1, Kind::AllButOne(channels)),
            (2, Kind::AllButOne(images)),
            (2, Kind::Pattern(channels)),
            (1, Kind::Pattern(images)),
            (1, Kind::Pattern(rows)),
            (1, Kind::Values(part)),
            (3, Kind::Pixels(part)),
            (2, Kind::Localised(part)),
            (2, Kind::All(part)),
        ]);
        if direction != Direction::BackwardWeight {
            kinds.push((4, Kind::LargeHalfRead(part)));
        }
    }
    if direction != Direction::BackwardWeight {
        for axis in [Axis(Part::W, 0), Axis(Part::W, CHANNELS)] {
            kinds.extend([
                (4, Kind::Gains(axis)),
                (2, Kind::Subset(axis)),
                (1, Kind::Single(axis)),
                (1, Kind::AllButOne(axis)),
                (2, Kind::Pattern(axis)),
            ]);
        }
        kinds.extend([
            (5, Kind::Kernels),
            (6, Kind::PatternOfKernels),
            (2, Kind::Values(Part::W)),
            (2, Kind::All(Part::W)),
        ]);
    }
    kinds
}
