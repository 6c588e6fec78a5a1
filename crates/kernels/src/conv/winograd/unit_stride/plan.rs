//! The cuts of a shape.

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
/// Words of a thread's planes aimed at, and at most, where fewer tiles are not worth their weights: a
/// part of a usual L2 cache, and one with a little of the next.
const PLANES: usize = 150 * 1024;
const MOST_PLANES: usize = 300 * 1024;
/// Tiles of a shared block, at most.
const SHARED: usize = 128;
/// Words of the depth whose weights are transformed on the way to a product, of words of one value.
const ON_THE_FLY: usize = 64;

/// One direction of a convolution.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct UnitStridePass {
    /// The input: as many pixels as the output.
    pub(in crate::conv::winograd) input: Grid,
    pub(in crate::conv::winograd) output: Grid,
    pub(in crate::conv::winograd) packed: Packed,
    /// All threads share transformed tiles and split the outputs, since the weights outweigh the
    /// tiles; otherwise a thread takes all outputs of some tiles.
    pub(in crate::conv::winograd) shared: bool,
    /// Weights are transformed on their way to the products: transformed weights outweigh plain
    /// ones by four, and where tiles are few that is most of the traffic.
    pub(in crate::conv::winograd) on_the_fly: bool,
    /// Words of the depth whose weights are transformed at once, if so.
    pub(in crate::conv::winograd) chunk: usize,
    /// Tiles of a block.
    pub(in crate::conv::winograd) tiles: usize,
}

impl UnitStridePass {
    /// For up to `batch` images of these stored channels, in coefficients of `T`.
    pub(in crate::conv::winograd) fn new<T: Scalar>(
        input: Grid,
        outputs: usize,
        batch: usize,
        tile: usize,
        on_the_fly: OnTheFly,
    ) -> Self {
        let packed = Packed { outputs, depth: input.channels / T::PACK };
        let all = batch * input.tiles();
        let line = COEFFICIENTS * (packed.depth + outputs);
        let mut tiles = (PLANES / line / tile * tile).max(32.min(MOST_PLANES / line));
        let shared = tiles < 32;
        if shared {
            tiles = SHARED;
        }
        let on_the_fly = match on_the_fly {
            OnTheFly::Never => false,
            OnTheFly::OneBlock => shared && all <= tiles,
            OnTheFly::Shared => shared,
        };
        let tiles = tiles.min(all).next_multiple_of(tile);
        let output = Grid { channels: outputs, ..input };
        let chunk = packed.depth.min(ON_THE_FLY * T::PACK);
        UnitStridePass { input, output, packed, shared, on_the_fly, chunk, tiles }
    }

    pub(super) fn v(&self) -> Planes {
        Planes { blocks: self.packed.depth / BLOCK, tiles: self.tiles }
    }

    /// Of all outputs, or of a panel of them.
    pub(super) fn m(&self, outputs: usize) -> Planes {
        Planes { blocks: outputs.div_ceil(BLOCK), tiles: self.tiles }
    }

    /// Words of transformed tiles, and of what those are worth.
    pub(super) fn v_len(&self) -> usize {
        self.v().len(COEFFICIENTS) + self.tiles
    }

    /// Words of the planes: shared input, and each thread's own.
    pub(super) fn scratch(&self, cpu: &Cpu) -> (usize, usize) {
        let (v, panel) = (self.v_len(), 2 * cpu.isa().lanes());
        if self.shared {
            let rotated = 9 * self.input.channels * panel;
            let u = self.on_the_fly_stride(panel) * 6 * MOST_LINES;
            let on_the_fly = u + COEFFICIENTS * panel + rotated;
            let m = self.m(panel).len(COEFFICIENTS);
            (v, if self.on_the_fly { m + on_the_fly } else { m })
        } else {
            (0, v + self.m(self.output.channels).len(COEFFICIENTS))
        }
    }

    /// Words from one coefficient of fresh weights of so many outputs to the next.
    pub(super) fn on_the_fly_stride(&self, outputs: usize) -> usize {
        self.chunk * outputs + BLOCK
    }
}

/// When weights are transformed on the way to the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conv::winograd) enum OnTheFly {
    /// They are transformed once for many calls.
    Never,
    /// Where threads share tiles, and one block holds all.
    OneBlock,
    /// Wherever threads share tiles: once for each block of them, but transformed weights take no
    /// memory.
    Shared,
}
