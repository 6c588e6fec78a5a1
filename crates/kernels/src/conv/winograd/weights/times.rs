//! What elements of weights are multiplied with to become integers.

use super::taps::Lanes;
use crate::{
    conv::winograd::{
        form::Form,
        product::{self, Energy},
        transform::Window,
    },
    isa::Vector,
};

/// For each of 36 [bare](Window::bare) elements and two vectors of outputs: sums of squares, then what
/// values are multiplied with to become integers.
pub(in crate::conv::winograd) struct Times(pub(super) [[f32; 32]; 36]);

impl Times {
    #[inline(always)]
    pub(in crate::conv::winograd) fn new() -> Self {
        Times([[0.0; 32]; 36])
    }

    /// From sums of squares, of weights that were divided by something. `units` have `apart` words from
    /// one element to the next.
    ///
    /// # Safety
    /// They must have room for `width` outputs of each element.
    #[inline(always)]
    pub(in crate::conv::winograd) unsafe fn scale<L: Window, V: Vector>(
        &mut self,
        form: Form,
        width: usize,
        lanes: &Lanes,
        units: *mut f32,
        apart: usize,
    ) {
        for (e, times) in self.0.iter_mut().enumerate() {
            let (norm, _) = form.norms(e);
            let norm = norm * L::SCALES[e / 6] * L::SCALES[e % 6];
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract, and there are 32 lanes here.
                unsafe {
                    let (times, units) =
                        (times.as_mut_ptr().add(lane), units.add(e * apart + lane));
                    let energy = Energy { total: V::load(times), most: V::zero() };
                    let (time, unit) = energy.scales(product::WEIGHT);
                    time.store(times);
                    // Elements of tiles were divided by their norms, these by their scales.
                    let divided = V::read(&lanes.0[lane..]);
                    unit.mul(V::splat(norm)).mul(divided).store(units);
                }
            }
        }
    }
}
