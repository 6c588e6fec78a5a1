//! The activation and the residual sum after a batch norm, in the backward pass.

use super::shape::BatchNorm;
use crate::{
    activation::{Differentiable, Smooth},
    conv::ScaleShift,
    isa::Vector,
    scalar::Scalar,
    values::{Values, ValuesMut},
};

/// Where the gradient of the residual input goes.
#[derive(Debug)]
pub struct ResidualGradient<'a> {
    /// A tensor like the output.
    pub gradient: ValuesMut<'a>,
    /// Adds to what it holds.
    pub accumulate: bool,
}

/// The slope of the activation after a batch norm, in the backward pass: what its gradient is multiplied by.
#[derive(Clone, Copy, Debug)]
pub enum ActivationSlope<'a> {
    /// There is no activation.
    None,
    /// A ReLU: 1 where the stored output is above zero.
    Output(Values<'a>),
    /// A ReLU: 1 where the output is above zero, which is computed again: it was not stored, and has no
    /// residual.
    Recomputed(ScaleShift<'a>),
    /// That of a smooth activation, of an input that is computed again.
    Smooth {
        /// The activation.
        function: Smooth,
        /// The batch norm.
        norm: ScaleShift<'a>,
        /// What was added to its output.
        residual: Option<Values<'a>>,
    },
}

/// [`ActivationSlope`], of values of `T`.
pub(super) trait Slope<T>: Copy + Sync {
    /// That of a chunk.
    fn cut(self, norm: &BatchNorm, chunk: usize) -> Self;

    /// Checks lengths: of the tensors, and of the stored channels.
    fn check(self, len: usize, stored: usize);

    /// The gradient of the activation's input.
    ///
    /// # Safety
    /// A vector from `at` must lie within the tensors, one from `channel` within the stored channels.
    unsafe fn times<V: Vector>(self, gradient: V, x: V, at: usize, channel: usize) -> V;
}

/// The mask of a ReLU. Its kind is the same for a whole call.
#[derive(Clone, Copy)]
pub(super) enum Mask<'a, T> {
    None,
    Output(&'a [T]),
    Recomputed(ScaleShift<'a>),
}

impl<'a, T: Scalar> Mask<'a, T> {
    /// # Panics
    /// If the output has another dtype, or the activation is smooth.
    pub(super) fn of(slope: ActivationSlope<'a>) -> Self {
        match slope {
            ActivationSlope::None => Mask::None,
            ActivationSlope::Output(out) => Mask::Output(T::slice(out)),
            ActivationSlope::Recomputed(norm) => Mask::Recomputed(norm),
            ActivationSlope::Smooth { function, .. } => unreachable!("{function:?} has no mask"),
        }
    }
}

impl<T: Scalar> Slope<T> for Mask<'_, T> {
    fn cut(self, norm: &BatchNorm, chunk: usize) -> Self {
        match self {
            Mask::Output(out) => Mask::Output(norm.cut(out, chunk)),
            other => other,
        }
    }

    #[inline(always)]
    fn check(self, len: usize, stored: usize) {
        match self {
            Mask::None => {}
            Mask::Output(out) => assert_eq!(out.len(), len),
            Mask::Recomputed(n) => assert!(n.scale.len() == stored && n.shift.len() == stored),
        }
    }

    #[inline(always)]
    unsafe fn times<V: Vector>(self, g: V, x: V, at: usize, channel: usize) -> V {
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Mask::None => g,
                Mask::Output(out) => g.where_positive(T::load(out.as_ptr().add(at))),
                Mask::Recomputed(n) => g.where_positive(normed(n, x, channel)),
            }
        }
    }
}

/// The slope of a smooth activation.
#[derive(Clone, Copy)]
pub(super) struct SmoothSlope<'a, T, F> {
    pub(super) function: F,
    pub(super) norm: ScaleShift<'a>,
    pub(super) residual: Option<&'a [T]>,
}

impl<T: Scalar, F: Differentiable> Slope<T> for SmoothSlope<'_, T, F> {
    fn cut(self, norm: &BatchNorm, chunk: usize) -> Self {
        SmoothSlope { residual: self.residual.map(|residual| norm.cut(residual, chunk)), ..self }
    }

    #[inline(always)]
    fn check(self, len: usize, stored: usize) {
        assert!(self.norm.scale.len() == stored && self.norm.shift.len() == stored);
        assert!(self.residual.is_none_or(|residual| residual.len() == len));
    }

    #[inline(always)]
    unsafe fn times<V: Vector>(self, g: V, x: V, at: usize, channel: usize) -> V {
        // SAFETY: the caller's contract.
        unsafe {
            let mut sum = normed(self.norm, x, channel);
            if let Some(residual) = self.residual {
                sum = sum.add(T::load(residual.as_ptr().add(at)));
            }
            g.mul(self.function.slope(sum))
        }
    }
}

/// # Safety
/// A vector from `channel` must lie within scale and shift.
#[inline(always)]
unsafe fn normed<V: Vector>(n: ScaleShift<'_>, x: V, channel: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        let scale = V::load(n.scale.as_ptr().add(channel));
        x.mul_add(scale, V::load(n.shift.as_ptr().add(channel)))
    }
}
