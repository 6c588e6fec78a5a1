//! The epilogue of a convolution: what is applied to its sums before they are stored.

use crate::{isa::Vector, scalar::Scalar, values::Values};

/// `relu(sum + bias + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// A value for each stored output channel.
    pub bias: Option<&'a [f32]>,
    /// A tensor like the output.
    pub residual: Option<Values<'a>>,
    /// Adds to what the output holds.
    pub accumulate: bool,
    /// Applies a ReLU.
    pub relu: bool,
}

impl<'a> Epilogue<'a> {
    /// Stores the sums.
    pub const STORE: Self = Epilogue { bias: None, residual: None, accumulate: false, relu: false };
    /// Adds the sums to the output.
    pub const ACCUMULATE: Self =
        Epilogue { bias: None, residual: None, accumulate: true, relu: false };

    /// # Panics
    /// If the residual has another dtype.
    pub(super) fn of<T: Scalar>(self) -> TypedEpilogue<'a, T> {
        let Epilogue { bias, residual, accumulate, relu } = self;
        TypedEpilogue { bias, residual: residual.map(T::slice), accumulate, relu }
    }
}

/// [`Epilogue`], of values of `T`.
#[derive(Clone, Copy, Debug)]
pub(super) struct TypedEpilogue<'a, T> {
    pub(super) bias: Option<&'a [f32]>,
    pub(super) residual: Option<&'a [T]>,
    pub(super) accumulate: bool,
    pub(super) relu: bool,
}

impl<'a, T: Scalar> TypedEpilogue<'a, T> {
    /// The same epilogue, of products in 32-bit floating point.
    pub(super) fn widen(self) -> TypedEpilogue<'a, T::Wide> {
        let TypedEpilogue { bias, residual, accumulate, relu } = self;
        TypedEpilogue { bias, residual: residual.map(T::widen), accumulate, relu }
    }
}

impl<T: Scalar> TypedEpilogue<'_, T> {
    /// The bias of a vector of channels.
    ///
    /// # Safety
    /// They must be stored channels.
    #[inline(always)]
    pub(super) unsafe fn bias<V: Vector>(&self, channel: usize) -> Option<V> {
        // SAFETY: the caller's contract.
        self.bias.map(|bias| unsafe { V::load(bias.as_ptr().add(channel)) })
    }

    /// Applies all but the bias to a vector of sums, and stores it at `out[at]`.
    ///
    /// # Safety
    /// `out` and the residual must hold the vector; nobody else may use it.
    #[inline(always)]
    pub(super) unsafe fn store<V: Vector>(&self, mut sum: V, at: usize, out: *mut T) {
        // SAFETY: the caller's contract.
        unsafe {
            let out = out.add(at);
            if let Some(residual) = self.residual {
                sum = sum.add(T::load(residual.as_ptr().add(at)));
            }
            if self.accumulate {
                sum = sum.add(T::load(out));
            }
            if self.relu {
                sum = sum.relu();
            }
            T::store(sum, out);
        }
    }
}
