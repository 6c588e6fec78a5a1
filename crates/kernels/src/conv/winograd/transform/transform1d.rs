//! What a one-dimensional transform is.

use std::mem::MaybeUninit;

use crate::isa::Vector;

/// A block of values between the two halves of its transform: written by column, read by row. It is
/// not zeroed first, since it is larger than the registers and that would double the stores.
pub(in crate::conv::winograd) struct HalfTransformed<V, const ROWS: usize, const COLUMNS: usize>(
    [[MaybeUninit<V>; COLUMNS]; ROWS],
);

impl<V: Vector, const ROWS: usize, const COLUMNS: usize> HalfTransformed<V, ROWS, COLUMNS> {
    #[inline(always)]
    pub(in crate::conv::winograd) fn new() -> Self {
        HalfTransformed([[MaybeUninit::uninit(); COLUMNS]; ROWS])
    }

    #[inline(always)]
    pub(in crate::conv::winograd) fn set(&mut self, j: usize, column: [V; ROWS]) {
        for (row, value) in self.0.iter_mut().zip(column) {
            row[j].write(value);
        }
    }

    /// # Safety
    /// All columns must have been set.
    #[inline(always)]
    pub(in crate::conv::winograd) unsafe fn row(&self, i: usize) -> &[V; COLUMNS] {
        // SAFETY: the same layout, and the caller's contract.
        unsafe { &*self.0[i].as_ptr().cast::<[V; COLUMNS]>() }
    }
}

/// A transform of a line of `FROM` values to one of `TO`. It is a type rather than a closure, since
/// a closure might not be inlined, and would then be compiled without the instructions of its
/// vectors.
pub(in crate::conv::winograd) trait Transform1d<const FROM: usize, const TO: usize> {
    fn apply<V: Vector>(d: &[V; FROM]) -> [V; TO];
}

/// A transform that makes an operand of the products.
pub(in crate::conv::winograd) trait OperandTransform<const FROM: usize, const TO: usize>:
    Transform1d<FROM, TO>
{
    /// Euclidean norms of the rows of the transform's matrix, rounded up: a coefficient is at most
    /// its row's norm times that of the line (Cauchy and Schwarz).
    const NORMS: [f32; TO];
    /// One over the norm of a coefficient of two dimensions, which is the product of two of
    /// [`OperandTransform::NORMS`].
    const INVERSE_NORMS: [[f32; TO]; TO] = {
        let mut inverse = [[0.0; TO]; TO];
        let mut i = 0;
        while i < TO * TO {
            inverse[i / TO][i % TO] = 1.0 / (Self::NORMS[i / TO] * Self::NORMS[i % TO]);
            i += 1;
        }
        inverse
    };
}

/// A transform of weights whose rows have common inverse. Integers leave these out: the
/// dequantisation scales of their products take them in.
pub(in crate::conv::winograd) trait UnscaledTransform:
    Transform1d<3, 6>
{
    /// The factor of each coefficient: `apply(g)[i] = SCALES[i] * unscaled(g)[i]`.
    const SCALES: [f32; 6];
    /// Coefficients without their inverse. These take half as many multiplications. The rest are
    /// additions, for which some machines have units of their own.
    fn unscaled<V: Vector>(g: &[V; 3]) -> [V; 6];
}
