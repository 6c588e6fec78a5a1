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
pub enum Gate<'a> {
    /// There is none.
    Open,
    /// The output, whose zeros block the gradient.
    Output(Values<'a>),
    /// The output is not stored (and nothing was added to it): it is computed again.
    Input(ScaleShift<'a>),
}

impl<'a> Gate<'a> {
    /// # Panics
    /// If the output has another dtype.
    pub(super) fn of<T: Scalar>(self) -> GateOf<'a, T> {
        match self {
            Gate::Open => GateOf::Open,
            Gate::Output(out) => GateOf::Output(T::slice(out)),
            Gate::Input(norm) => GateOf::Input(norm),
        }
    }
}

/// [`Gate`], of values of `T`.
#[derive(Clone, Copy)]
pub(super) enum GateOf<'a, T> {
    Open,
    Output(&'a [T]),
    Input(ScaleShift<'a>),
}
