//! What a convolution is prepared for, checked.

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

/// Values of an image, and of a weight, are fewer: places in an image are 32-bit numbers.
const IMAGE: usize = u32::MAX as usize;

/// What a convolution is prepared for: all that its tables and its packed weights follow from (but for
/// the number of threads).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) shape: ConvShape,
    pub(super) dtype: Dtype,
    pub(super) source: Source,
    pub(super) mode: Mode,
    /// The largest batch.
    pub(super) batch: usize,
    pub(super) isa: Isa,
    pub(super) algorithms: Algorithms,
}

/// Values of the tensors of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    /// Of an image.
    pub(super) input: usize,
    /// Of an image, which is an activation, whatever the input is.
    pub(super) input_gradient: usize,
    /// Of an image.
    pub(super) output: usize,
    pub(super) weight: usize,
    /// Of packed weights, for either direction.
    pub(super) packed: usize,
    pub(super) scratch: usize,
}

impl Setup {
    /// Of sizes whose products do not wrap, nor with the largest batch.
    ///
    /// # Panics
    /// If the shape means nothing, or is too large.
    pub(super) fn new(
        shape: ConvShape,
        dtype: Dtype,
        source: Source,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> Setup {
        let s = &shape;
        let ConvShape { in_channels, out_channels, height, width, kernel, stride, padding } = *s;
        let sizes = [in_channels, out_channels, height, width, kernel, stride, batch];
        assert!(sizes.iter().all(|&n| n > 0), "{batch} images of {s:?}: a size is 0");
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
        let (isa, algorithms) = (cpu.isa(), cpu.algorithms());
        Setup { shape, dtype, source, mode, batch, isa, algorithms }
    }
}
