//! The operands of a convolution: its input and its weights.

use super::{algorithm::Direction, config::Setup};
use crate::{scalar::Scalar, values::Values};

/// A batch norm and a ReLU, fused into the load of an activation: `relu(x * scale + shift)`, with a
/// scale and a shift for each stored channel.
#[derive(Clone, Copy, Debug)]
pub struct ScaleShift<'a> {
    /// `weight / std`.
    pub scale: &'a [f32],
    /// `bias - mean * weight / std`.
    pub shift: &'a [f32],
}

/// The input of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvInput<'a> {
    /// The stored values.
    pub values: Values<'a>,
    /// Applied to the values as they are loaded, if
    /// [`Algorithm::fuses_input_norm`](super::Algorithm).
    pub norm: Option<ScaleShift<'a>>,
}

impl<'a> From<Values<'a>> for ConvInput<'a> {
    fn from(values: Values<'a>) -> Self {
        ConvInput { values, norm: None }
    }
}

impl<'a> ConvInput<'a> {
    /// # Panics
    /// If the values have another dtype.
    pub(super) fn of<T: Scalar>(self) -> TypedInput<'a, T> {
        TypedInput { values: T::slice(self.values), norm: self.norm }
    }

    /// The values of an input without a batch norm.
    ///
    /// # Panics
    /// If there is one, or the values have another dtype.
    pub(super) fn plain<T: Scalar>(self) -> &'a [T] {
        assert!(self.norm.is_none(), "only Winograd fuses a batch norm into its input");
        T::slice(self.values)
    }
}

/// [`ConvInput`], of values of `T`.
#[derive(Clone, Copy, Debug)]
pub(super) struct TypedInput<'a, T> {
    pub(super) values: &'a [T],
    pub(super) norm: Option<ScaleShift<'a>>,
}

impl<'a, T: Scalar> TypedInput<'a, T> {
    /// The same values, to be multiplied in 32-bit floating point.
    pub(super) fn widen(self) -> TypedInput<'a, T::Wide> {
        TypedInput { values: T::widen(self.values), norm: self.norm }
    }
}

impl<T> TypedInput<'_, T> {
    /// Checks the lengths of scale and shift.
    pub(super) fn check(&self, stored: usize) {
        let fits = |n: ScaleShift<'_>| n.scale.len() == stored && n.shift.len() == stored;
        assert!(self.norm.is_none_or(fits), "a scale and a shift for every stored channel");
    }
}

impl<'a, T> From<&'a [T]> for TypedInput<'a, T> {
    fn from(values: &'a [T]) -> Self {
        TypedInput { values, norm: None }
    }
}

/// The weights of a call: what packing them has returned, or [`Conv::weights`](super::Conv).
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// What they were packed for. Their length follows from it.
    pub(super) setup: Setup,
    pub(super) direction: Direction,
    pub(super) values: WeightValues<'a>,
}

/// The values of [`Weights`].
#[derive(Clone, Copy, Debug)]
pub(super) enum WeightValues<'a> {
    /// Packed for one direction.
    Packed(&'a [f32]),
    /// Not packed: the call does that.
    Unpacked(&'a [f32]),
}

impl<'a> WeightValues<'a> {
    pub(super) fn packed(self) -> &'a [f32] {
        match self {
            WeightValues::Packed(packed) => packed,
            WeightValues::Unpacked(_) => panic!("this convolution takes packed weights"),
        }
    }
}
