//! What happens to the sums of a convolution on their way to memory.

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
    /// Cuts negative values off.
    pub relu: bool,
}

impl<'a> Epilogue<'a> {
    /// Stores the plain sums.
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
    /// The same, of sums that were multiplied in 32-bit floating point.
    pub(super) fn widen(self) -> TypedEpilogue<'a, T::Wide> {
        let TypedEpilogue { bias, residual, accumulate, relu } = self;
        TypedEpilogue { bias, residual: residual.map(T::widen), accumulate, relu }
    }
}

impl<T: Scalar> TypedEpilogue<'_, T> {
    /// The bias of a vector of channels.
    ///
    /// # Safety
    /// They must be stored ones.
    #[inline(always)]
    pub(super) unsafe fn bias<V: Vector>(&self, channel: usize) -> Option<V> {
        // SAFETY: the caller's contract.
        self.bias.map(|bias| unsafe { V::load(bias.as_ptr().add(channel)) })
    }

    /// All but the bias, for a vector of sums, which goes to `out[at]`.
    ///
    /// # Safety
    /// `out` must hold the vector, and the residual as well; nobody else may use it.
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
