//! What happens to the sums of a convolution on their way to memory.

use crate::{element::Element, isa::Vector};

/// `relu(sum + bias + residual)`.
#[derive(Debug)]
pub struct Epilogue<'a, E> {
    /// A value for each stored output channel.
    pub bias: Option<&'a [f32]>,
    /// A tensor like the output.
    pub residual: Option<&'a [E]>,
    /// Adds to what the output holds.
    pub accumulate: bool,
    /// Cuts negative values off.
    pub relu: bool,
}

impl<E> Epilogue<'_, E> {
    /// Stores the plain sums.
    pub const STORE: Self = Epilogue { bias: None, residual: None, accumulate: false, relu: false };
    /// Adds the sums to the output.
    pub const ACCUMULATE: Self =
        Epilogue { bias: None, residual: None, accumulate: true, relu: false };
}

impl<E: Element> Epilogue<'_, E> {
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
    pub(super) unsafe fn store<V: Vector>(&self, mut sum: V, at: usize, out: *mut E) {
        // SAFETY: the caller's contract.
        unsafe {
            let out = out.add(at);
            if let Some(residual) = self.residual {
                sum = sum.add(E::load(residual.as_ptr().add(at)));
            }
            if self.accumulate {
                sum = sum.add(E::load(out));
            }
            if self.relu {
                sum = sum.relu();
            }
            E::store(sum, out);
        }
    }
}
