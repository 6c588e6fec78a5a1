//! F(4x4, 3x3): windows of 3x3 with a stride of 1 (Lavin and Gray 2016).
//!
//! Outputs are cut into tiles of 4 x 4. A tile's 6 x 6 pixels become 36 coefficients, so it takes
//! 36 products per pair of channels where the direct method takes 144.

mod items;
mod pass;
mod plan;

pub(in crate::conv) use plan::UnitStridePass;

use plan::OnTheFly;

use super::{
    backward_weight::WinogradBackwardWeight, conv::Winograd, grid::Grid, pass::PassWithFallback,
    quantise::is_int16, variant::Variant,
};
use crate::{
    conv::{
        algorithm::{Algorithm, Direction},
        config::ConvConfig,
    },
    cpu::Cpu,
    scalar::Scalar,
};

/// Side of a tile of outputs.
const SIDE: usize = 4;

impl Winograd<UnitStridePass> {
    pub(in crate::conv) const ALGORITHM: Algorithm = Algorithm::Winograd { side: SIDE, stride: 1 };

    /// Whether this algorithm fits a convolution. It is then faster than the direct method.
    pub(in crate::conv) fn serves(config: &ConvConfig) -> bool {
        Variant::UnitStride.fits(&config.shape, config.dtype)
    }

    /// For activations stored as `T`.
    pub(in crate::conv) fn new<T: Scalar>(config: &ConvConfig, cpu: &Cpu) -> Self {
        let ConvConfig { shape: s, mode, batch, .. } = *config;
        let grid = |channels| Grid { height: s.height, width: s.width, channels, side: SIDE };
        let (mr, train) = (cpu.isa().mr(), mode.has(Direction::BackwardWeight));
        let (input, output) = (grid(s.in_channels), grid(s.out_channels));
        let pass = |from: Grid, outputs: usize| {
            let when = if train { OnTheFly::OneBlock } else { OnTheFly::Never };
            let wide =
                || UnitStridePass::new::<T::Wide>(from, outputs, batch, mr, OnTheFly::Shared);
            let pass = UnitStridePass::new::<T>(from, outputs, batch, mr, when);
            PassWithFallback::new(pass, is_int16::<T>().then(wide), train, batch)
        };
        Winograd {
            in_channels: s.in_channels,
            forward: pass(input, s.out_channels),
            backward_data: mode.has(Direction::BackwardData).then(|| pass(output, s.in_channels)),
            backward_weight: mode.has(Direction::BackwardWeight).then(|| {
                WinogradBackwardWeight::new::<T>(Variant::UnitStride, input, output, batch)
            }),
        }
    }
}
