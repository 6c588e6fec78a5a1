//! What follows a batch norm, in the backward pass.

use crate::{
    conv::ScaleShift,
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

/// The ReLU that follows a batch norm, in the backward pass.
#[derive(Clone, Copy, Debug)]
pub enum ReluMask<'a> {
    /// There is none.
    None,
    /// The output, whose zeros block the gradient.
    Output(Values<'a>),
    /// The output is not stored (and nothing was added to it): it is computed again.
    Recomputed(ScaleShift<'a>),
}

impl<'a> ReluMask<'a> {
    /// # Panics
    /// If the output has another dtype.
    pub(super) fn of<T: Scalar>(self) -> TypedMask<'a, T> {
        match self {
            ReluMask::None => TypedMask::None,
            ReluMask::Output(out) => TypedMask::Output(T::slice(out)),
            ReluMask::Recomputed(norm) => TypedMask::Recomputed(norm),
        }
    }
}

/// [`ReluMask`], of values of `T`.
#[derive(Clone, Copy)]
pub(super) enum TypedMask<'a, T> {
    None,
    Output(&'a [T]),
    Recomputed(ScaleShift<'a>),
}
