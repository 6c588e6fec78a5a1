//! How a convolution is cut into blocks of tiles, and what threads share.

use crate::{
    conv::winograd::{
        grid::{BLOCK, Grid, Planes},
        variant::Variant,
        weights::{MOST_LINES, Packed},
    },
    cpu::Cpu,
    scalar::Scalar,
};

/// Coefficients of a tile.
pub(super) const COEFFICIENTS: usize = Variant::UnitStride.tile_coefficients();
/// Target size of a thread's planes in words, a part of a typical L2 cache (600 KB), and the
/// largest size, which is taken where few tiles would not repay reading the weights (1.2 MB).
const PLANES: usize = 150 * 1024;
const MOST_PLANES: usize = 300 * 1024;
/// Tiles of a shared block, at most.
const SHARED: usize = 128;
/// Words of the depth whose weights are transformed on the fly at once, for words of one value.
const ON_THE_FLY: usize = 64;

/// The forward pass of a convolution, or its gradient of the input.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct UnitStridePass {
    /// The tiles of the input, which has as many pixels as the output.
    pub(in crate::conv::winograd) input: Grid,
    pub(in crate::conv::winograd) output: Grid,
    pub(in crate::conv::winograd) packed: Packed,
    /// Whether all threads share a block of transformed tiles and split its outputs. They do where
    /// few tiles of a thread's own would fit in its L2 cache. Otherwise each thread takes all outputs of
    /// its own blocks.
    pub(in crate::conv::winograd) shared: bool,
    /// Whether weights are transformed on the fly, right before their products. Transformed weights
    /// are four times as large as raw ones, which is most of the memory traffic where tiles are
    /// few.
    pub(in crate::conv::winograd) on_the_fly: bool,
    /// Words of the depth whose weights are then transformed at once, KC.
    pub(in crate::conv::winograd) chunk: usize,
    /// Tiles of a block, MC.
    pub(in crate::conv::winograd) tiles: usize,
}

impl UnitStridePass {
    /// For up to `batch` images of activations stored as `T`.
    pub(in crate::conv::winograd) fn new<T: Scalar>(
        input: Grid,
        outputs: usize,
        batch: usize,
        mr: usize,
        on_the_fly: OnTheFly,
    ) -> Self {
        let packed = Packed { outputs, depth: input.channels / T::PACK };
        let all = batch * input.tiles();
        let line = COEFFICIENTS * (packed.depth + outputs);
        let mut tiles = (PLANES / line / mr * mr).max(32.min(MOST_PLANES / line));
        let shared = tiles < 32;
        if shared {
            tiles = SHARED;
        }
        let on_the_fly = match on_the_fly {
            OnTheFly::Never => false,
            OnTheFly::OneBlock => shared && all <= tiles,
            OnTheFly::Shared => shared,
        };
        let tiles = tiles.min(all).next_multiple_of(mr);
        let output = Grid { channels: outputs, ..input };
        let chunk = packed.depth.min(ON_THE_FLY * T::PACK);
        UnitStridePass { input, output, packed, shared, on_the_fly, chunk, tiles }
    }

    /// The planes of a block of transformed tiles.
    pub(super) fn v(&self) -> Planes {
        Planes { blocks: self.packed.depth / BLOCK, tiles: self.tiles }
    }

    /// The planes of the products of `outputs` outputs.
    pub(super) fn m(&self, outputs: usize) -> Planes {
        Planes { blocks: outputs.div_ceil(BLOCK), tiles: self.tiles }
    }

    /// Words of a block of transformed tiles and of their dequantisation scales.
    pub(super) fn v_len(&self) -> usize {
        self.v().len(COEFFICIENTS) + self.tiles
    }

    /// Words of scratch that all threads share, and of each thread's own.
    pub(super) fn scratch(&self, cpu: &Cpu) -> (usize, usize) {
        let (v, panel) = (self.v_len(), 2 * cpu.isa().lanes());
        if self.shared {
            let gathered = 9 * self.input.channels * panel;
            let u = self.on_the_fly_stride(panel) * 6 * MOST_LINES;
            let on_the_fly = u + COEFFICIENTS * panel + gathered;
            let m = self.m(panel).len(COEFFICIENTS);
            (v, if self.on_the_fly { m + on_the_fly } else { m })
        } else {
            (0, v + self.m(self.output.channels).len(COEFFICIENTS))
        }
    }

    /// Words from one coefficient of weights to the next, of `outputs` outputs, where they are
    /// transformed on the fly.
    pub(super) fn on_the_fly_stride(&self, outputs: usize) -> usize {
        self.chunk * outputs + BLOCK
    }
}

/// When weights are transformed on the fly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conv::winograd) enum OnTheFly {
    /// Never: they are transformed once for many calls.
    Never,
    /// Where threads share tiles and one block holds all tiles.
    OneBlock,
    /// Where threads share tiles. They are transformed again for each block, but take no memory.
    Shared,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the example in the docs of [`crate::conv::winograd`], in bytes.
    #[test]
    fn a_layer_has_the_documented_sizes() {
        let grid = Grid { height: 8, width: 8, channels: 256, side: 4 };
        let pass = UnitStridePass::new::<f32>(grid, 256, 128, 8, OnTheFly::Never);
        assert!(pass.shared && pass.tiles == 128 && 128 * grid.tiles() == 4 * pass.tiles);
        let bytes = |words: usize| words * size_of::<f32>();
        assert_eq!(bytes(pass.v().len(COEFFICIENTS)), 4_720_896);
        assert_eq!(bytes(COEFFICIENTS * pass.packed.stride()), 9_476_352);
        assert_eq!(bytes(pass.m(32).len(COEFFICIENTS)), 592_128);
    }
}
