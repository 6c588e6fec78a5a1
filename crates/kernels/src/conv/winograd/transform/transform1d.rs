//! What a transform is: of one line, applied to columns and then to rows.

use std::mem::MaybeUninit;

use crate::isa::Vector;

/// A block of values between the two halves of its transform: written by column, read by row. It
/// outgrows the registers, and zeros written first would cost as much as the values.
pub(in crate::conv::winograd) struct Half<V, const ROWS: usize, const COLUMNS: usize>(
    [[MaybeUninit<V>; COLUMNS]; ROWS],
);

impl<V: Vector, const ROWS: usize, const COLUMNS: usize> Half<V, ROWS, COLUMNS> {
    #[inline(always)]
    pub(in crate::conv::winograd) fn new() -> Self {
        Half([[MaybeUninit::uninit(); COLUMNS]; ROWS])
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

/// A transform of one line, as a type: a closure might not be inlined, and would then be compiled
/// without the instructions of its vectors.
pub(in crate::conv::winograd) trait Line<const FROM: usize, const TO: usize> {
    fn line<V: Vector>(d: &[V; FROM]) -> [V; TO];
}

/// A transform into what products are taken of.
pub(in crate::conv::winograd) trait Factor<const FROM: usize, const TO: usize>:
    Line<FROM, TO>
{
    /// Bounds of the Euclidean norms of the transform's rows: no coefficient is larger than its own
    /// times the norm of the line.
    const NORMS: [f32; TO];
    /// One over those of a coefficient: of both sides.
    const FACTORS: [[f32; TO]; TO] = {
        let mut factors = [[0.0; TO]; TO];
        let mut i = 0;
        while i < TO * TO {
            factors[i / TO][i % TO] = 1.0 / (Self::NORMS[i / TO] * Self::NORMS[i % TO]);
            i += 1;
        }
        factors
    };
}

/// A transform of weights. What products of integers are worth holds any factor of a coefficient, so
/// their weights need not have theirs.
pub(in crate::conv::winograd) trait Window: Line<3, 6> {
    /// What coefficients are, over those of [`Window::bare`].
    const SCALES: [f32; 6];
    /// Coefficients over their scales: by half as many multiplications, and sums, which some machines
    /// add beside those.
    fn bare<V: Vector>(g: &[V; 3]) -> [V; 6];
}
