//! The ReLU and the residual sum after a batch norm, in the backward pass.

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

/// The mask of the ReLU after a batch norm, in the backward pass: where its gradient is 1.
#[derive(Clone, Copy, Debug)]
pub enum ReluMask<'a> {
    /// There is no ReLU.
    None,
    /// Where the stored output is above zero.
    Output(Values<'a>),
    /// Where the output is above zero, which is computed again: it was not stored, and has no
    /// residual.
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
