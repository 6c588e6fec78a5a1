//! Quantisation scales of the coefficients of weights.

use crate::{
    conv::winograd::{
        quantise::{self, SumOfSquares, power_of_two},
        transform::UnscaledTransform,
        variant::Variant,
    },
    isa::Vector,
};

/// A scale for each output of a panel.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv::winograd) struct OutputScales(pub(super) [f32; 32]);

impl OutputScales {
    pub(in crate::conv::winograd) const ONE: OutputScales = OutputScales([1.0; 32]);

    /// The powers of two next to these values, whose inverses are normal numbers too; 1 for 0,
    /// infinity and NaN.
    pub(super) fn powers_of_two(self) -> OutputScales {
        let usable = |x: f32| x > 0.0 && x.is_finite();
        let bounds = (1.0 / MAX_DIVISOR, MAX_DIVISOR);
        OutputScales(
            self.0.map(|x| if usable(x) { power_of_two(x).clamp(bounds.0, bounds.1) } else { 1.0 }),
        )
    }
}

/// The largest power of two whose inverse is a normal number.
const MAX_DIVISOR: f32 = f32::from_bits(253 << 23);

/// Quantisation scales of 36 [unscaled](UnscaledTransform::unscaled) coefficients, for two vectors
/// of outputs. They hold sums of squares first.
pub(in crate::conv::winograd) struct QuantScales(pub(super) [[f32; 32]; 36]);

impl QuantScales {
    #[inline(always)]
    pub(in crate::conv::winograd) fn new() -> Self {
        QuantScales([[0.0; 32]; 36])
    }

    /// Turns sums of squares into quantisation scales, and stores the dequantisation scales, which
    /// are `stride` words apart from one coefficient to the next. Weights were divided by `lanes`.
    ///
    /// # Safety
    /// `dequant` must have room for `width` outputs of each coefficient.
    #[inline(always)]
    pub(in crate::conv::winograd) unsafe fn scale<L: UnscaledTransform, V: Vector>(
        &mut self,
        variant: Variant,
        width: usize,
        lanes: &OutputScales,
        dequant: *mut f32,
        stride: usize,
    ) {
        for (e, quant) in self.0.iter_mut().enumerate() {
            let (norm, _) = variant.norms(e);
            let norm = norm * L::SCALES[e / 6] * L::SCALES[e % 6];
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract, and there are 32 lanes here.
                unsafe {
                    let (quant, dequant) =
                        (quant.as_mut_ptr().add(lane), dequant.add(e * stride + lane));
                    let squares = SumOfSquares { total: V::load(quant), largest: V::zero() };
                    let (quant_scale, dequant_scale) = squares.scales(quantise::WEIGHT_NORM);
                    quant_scale.store(quant);
                    // Coefficients of tiles were divided by their norms, those of weights by their
                    // scales.
                    let divided = V::read(&lanes.0[lane..]);
                    dequant_scale.mul(V::splat(norm)).mul(divided).store(dequant);
                }
            }
        }
    }
}
