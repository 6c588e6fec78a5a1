//! What a convolution's tables of pixels take.

use super::{
    Conv,
    algorithm::{Algorithm, Direction, Mode},
    choice::choose,
    shape::{ConvShape, Source},
};
use crate::{cpu::Cpu, values::Dtype};

impl Conv {
    /// Bytes that [`Conv::new`] takes at most for tables of pixels, which the direct method has: so
    /// that whoever plans can refuse before they are made. The rest of a convolution is small.
    pub fn table_bytes(
        shape: &ConvShape,
        dtype: Dtype,
        source: Source,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> usize {
        if choose(shape, dtype, source, batch, cpu) != Algorithm::Direct {
            return 0;
        }
        let ConvShape { kernel, stride, height, width, .. } = *shape;
        // A dense image has a row of the window as one tap.
        let taps = if source == Source::Image { kernel } else { kernel.saturating_mul(kernel) };
        let met = kernel.div_ceil(stride).saturating_pow(2);
        let (inputs, outputs) = (height.saturating_mul(width), shape.out_pixels());
        let words = |pixels: usize, of_each: usize| {
            pixels.saturating_mul(of_each).saturating_mul(size_of::<u32>())
        };
        // Some of the lists grow, and may then be twice as long as what is in them.
        let forward = words(outputs, taps.saturating_add(1));
        let data = words(inputs, 2 * met.saturating_add(1));
        let weight = words(outputs.max(SMALL), taps.saturating_mul(2 * 2));
        let has = |direction, bytes| if mode.has(direction) { bytes } else { 0 };
        forward
            .saturating_add(has(Direction::BackwardData, data))
            .saturating_add(has(Direction::BackwardWeight, weight))
    }
}

/// Images of fewer pixels are listed several at a time.
const SMALL: usize = 256;
