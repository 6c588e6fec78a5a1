//! What a convolution is prepared for, and the checks of it.

use super::{
    algorithm::Mode,
    shape::{ConvShape, Source},
};
use crate::{
    check::product,
    cpu::{Algorithms, Cpu},
    isa::Isa,
    layout::padded,
    values::Dtype,
};

/// Images and weights have fewer values than this, since positions in an image are 32-bit numbers.
const IMAGE: usize = u32::MAX as usize;

/// What a convolution is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvConfig {
    /// Its dimensions.
    pub shape: ConvShape,
    /// The dtype of the output and, unless that is [`Source::Image`], of the input.
    pub dtype: Dtype,
    /// How the input is stored.
    pub source: Source,
    /// Which directions it has.
    pub mode: Mode,
    /// The largest batch, in images.
    pub batch: usize,
}

/// A valid [`ConvConfig`], and what of a [`Cpu`] decides tables and packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) config: ConvConfig,
    isa: Isa,
    algorithms: Algorithms,
}

/// Numbers of values of the tensors of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    /// Of an image of the input.
    pub(super) input: usize,
    /// Of an image of its gradient, which is an activation even where the input is dense images.
    pub(super) input_gradient: usize,
    /// Of an image of the output.
    pub(super) output: usize,
    pub(super) weight: usize,
    /// Of packed weights, for either direction.
    pub(super) packed: usize,
    pub(super) scratch: usize,
}

impl Setup {
    /// Checks that sizes are valid, and that products of them do not wrap.
    ///
    /// # Panics
    /// If the shape is invalid, or too large.
    pub(super) fn new(config: ConvConfig, cpu: &Cpu) -> Setup {
        let ConvConfig { shape, batch, .. } = config;
        let s = &shape;
        let ConvShape { in_channels, out_channels, height, width, kernel, stride, padding, groups } =
            *s;
        let sizes = [in_channels, out_channels, height, width, kernel, stride, batch];
        assert!(sizes.iter().all(|&n| n > 0), "{batch} images of {s:?}: a size is 0");
        let divides = |channels: usize| channels.checked_rem(groups) == Some(0);
        let divided = divides(in_channels) && divides(out_channels);
        assert!(divided, "{s:?}: the groups do not divide the channels");
        let fits = |n: &usize| *n < IMAGE;
        let bounded = [in_channels, out_channels, height, width, kernel, stride, padding];
        assert!(bounded.iter().all(fits), "{s:?}: a size of 2^32 or more");
        let side = height.min(width) + 2 * padding;
        assert!(side >= kernel, "{s:?}: the window does not fit");
        let (rows, columns) = (height + 2 * padding, width + 2 * padding);
        // The border counts, whether it is stored or not.
        let image = product(&[rows, columns, padded(in_channels)]);
        let output = product(&[s.out_height(), s.out_width(), padded(out_channels)]);
        let weight = product(&[padded(out_channels), kernel, kernel, padded(in_channels)]);
        assert!([image, output, weight].iter().all(fits), "{s:?}: 2^32 values or more");
        product(&[batch, image.max(output)]);
        Setup { config, isa: cpu.isa(), algorithms: cpu.algorithms() }
    }
}
