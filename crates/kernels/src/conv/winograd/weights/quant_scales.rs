//! What coefficients of weights are multiplied with to become integers.

use crate::{
    conv::winograd::{
        quantise::{self, SumOfSquares, power_of_two},
        transform::UnscaledTransform,
        variant::Variant,
    },
    isa::Vector,
};

/// A value for each output of a panel.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv::winograd) struct OutputScales(pub(super) [f32; 32]);

impl OutputScales {
    pub(in crate::conv::winograd) const ONE: OutputScales = OutputScales([1.0; 32]);

    /// Powers of two near these values, so that one over each is one as well; 1 for what is none.
    pub(super) fn powers_of_two(self) -> OutputScales {
        let usable = |x: f32| x > 0.0 && x.is_finite();
        let bounds = (1.0 / LARGEST, LARGEST);
        OutputScales(
            self.0.map(|x| if usable(x) { power_of_two(x).clamp(bounds.0, bounds.1) } else { 1.0 }),
        )
    }
}

/// One over it is no denormal number.
const LARGEST: f32 = f32::from_bits(253 << 23);

/// For each of 36 [unscaled](UnscaledTransform::unscaled) coefficients and two vectors of outputs: sums of squares, then what
/// values are multiplied with to become integers.
pub(in crate::conv::winograd) struct QuantScales(pub(super) [[f32; 32]; 36]);

impl QuantScales {
    #[inline(always)]
    pub(in crate::conv::winograd) fn new() -> Self {
        QuantScales([[0.0; 32]; 36])
    }

    /// From sums of squares, of weights that were divided by something. `units` have `stride` words from
    /// one coefficient to the next.
    ///
    /// # Safety
    /// They must have room for `width` outputs of each coefficient.
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
                    // Coefficients of tiles were divided by their norms, these by their scales.
                    let divided = V::read(&lanes.0[lane..]);
                    dequant_scale.mul(V::splat(norm)).mul(divided).store(dequant);
                }
            }
        }
    }
}
