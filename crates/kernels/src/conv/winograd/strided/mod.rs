//! F(4x4, 3x3) with a stride of 2.
//!
//! Outputs are cut into tiles of 4 x 4. A tile's 9 x 9 pixels become 81 coefficients, so it takes
//! 81 products per pair of channels where the direct method takes 144. Coefficients that are pixels
//! as they are share their weights: 36 coefficients of weights serve all.

mod pass;

pub(in crate::conv) use pass::StridedPass;

use super::{
    backward_weight::WinogradBackwardWeight, conv::Winograd, grid::Grid, pass::PassWithFallback,
    quantise::is_int16, variant::Variant,
};
use crate::{
    conv::{
        algorithm::{Algorithm, Direction},
        config::ConvConfig,
        shape::ConvShape,
    },
    cpu::Cpu,
    scalar::Scalar,
};

/// With fewer tiles, reading the transformed weights costs more than the saved products.
const FEWEST_TILES: usize = 32;

impl Winograd<StridedPass> {
    pub(in crate::conv) const ALGORITHM: Algorithm = Algorithm::Winograd { side: 4, stride: 2 };

    /// Whether this algorithm fits a convolution, and is faster than the direct method.
    pub(in crate::conv) fn serves(config: &ConvConfig) -> bool {
        let ConvConfig { shape, dtype, batch, .. } = config;
        Variant::Strided.fits(shape, *dtype) && batch * grids(shape).1.tiles() >= FEWEST_TILES
    }

    /// For activations stored as `T`.
    pub(in crate::conv) fn new<T: Scalar>(config: &ConvConfig, cpu: &Cpu) -> Self {
        let ConvConfig { shape: s, mode, batch, .. } = *config;
        let (input, output) = grids(&s);
        let (mr, train) = (cpu.isa().mr(), mode.has(Direction::BackwardWeight));
        let pass = |from: Grid, to: Grid, gradient: bool| {
            let wide = || StridedPass::new::<T::Wide>(from, to, gradient, batch, mr);
            let pass = StridedPass::new::<T>(from, to, gradient, batch, mr);
            PassWithFallback::new(pass, is_int16::<T>().then(wide), train, batch)
        };
        Winograd {
            in_channels: s.in_channels,
            forward: pass(input, output, false),
            backward_data: mode.has(Direction::BackwardData).then(|| pass(output, input, true)),
            backward_weight: mode
                .has(Direction::BackwardWeight)
                .then(|| WinogradBackwardWeight::new::<T>(Variant::Strided, input, output, batch)),
        }
    }
}

/// The tiles of the input, and those of the output.
fn grids(s: &ConvShape) -> (Grid, Grid) {
    let input = Grid { height: s.height, width: s.width, channels: s.in_channels, side: 8 };
    let (height, width) = (s.height.div_ceil(2), s.width.div_ceil(2));
    (input, Grid { height, width, channels: s.out_channels, side: 4 })
}
