//! How a gradient of weights is cut into parts of the batch and blocks of tiles.

use std::ops::Range;

use crate::{
    conv::winograd::{
        grid::{BLOCK, Grid, Planes},
        variant::Variant,
    },
    cpu::Cpu,
    scalar::Scalar,
};

/// Target size of the planes of a block in words: of those that threads share (4 MB), and of a
/// thread's own (512 KB), for words of one value.
const SHARED_PLANES: usize = 1 << 20;
const PLANES: usize = 128 << 10;
/// The most parts of a batch, and the most words of all their sums (5 MB).
const PARTS: usize = 16;
const SUMS: usize = 5 << 18;
/// The fewest words of tiles of a part.
pub(super) const PART: usize = 64;
/// Output channels of an item, MC.
pub(super) const OUTPUTS: usize = 128;
/// Output and input channels of an item that takes all coefficients. Their sums take 590 KB, half
/// of a typical L2 cache.
pub(super) const CHANNEL_BLOCK: (usize, usize) = (16, 256);

/// The cuts of a gradient of weights.
///
/// The batch is cut into parts, as many as the memory for their sums allows, and these are added in
/// order at the end. If the number of parts is a multiple of the threads, or at least four times as
/// large, a thread takes a whole part, so that its tiles stay in its own caches: cores may share none.
/// Otherwise all threads work on one part after the other, and an item is a coefficient of the window and a group of output channels. Either way,
/// sums run over a part's tiles in order, so that the number of threads changes no bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackwardWeightPlan {
    pub(super) variant: Variant,
    pub(super) input: Grid,
    pub(super) output: Grid,
    /// Tiles of the largest batch.
    tiles: usize,
    /// Tiles in a word.
    pub(super) pack: usize,
    /// Words of tiles of a block, KC.
    pub(super) words: usize,
    /// Parts of the largest batch.
    pub(super) parts: usize,
}

impl BackwardWeightPlan {
    /// For up to `batch` images, whose tiles of input and output have the same numbers.
    pub(super) fn new<T: Scalar>(
        variant: Variant,
        input: Grid,
        output: Grid,
        batch: usize,
    ) -> Self {
        let tiles = batch * input.tiles();
        let all = tiles.div_ceil(T::PACK);
        let sums = variant.weight_coefficients() * (input.channels * output.channels + BLOCK);
        let parts = power_of_two((SUMS / sums).min(PARTS).min(all / PART));
        let line = variant.tile_coefficients() * (input.channels + output.channels);
        let words = |planes: usize| planes / line;
        let words = if parts > 1 {
            words(PLANES * T::PACK).clamp(32, 128)
        } else {
            words(SHARED_PLANES).clamp(128, 256)
        };
        let words = words.next_multiple_of(16).min(all);
        BackwardWeightPlan { variant, input, output, tiles, pack: T::PACK, words, parts }
    }

    pub(super) fn v(&self) -> Planes {
        Planes { blocks: self.input.channels / BLOCK, tiles: self.words }
    }

    pub(super) fn w(&self) -> Planes {
        Planes { blocks: self.output.channels / BLOCK, tiles: self.words }
    }

    /// Words of the sums of a coefficient of the window.
    pub(super) fn stride(&self) -> usize {
        self.input.channels * self.output.channels + BLOCK
    }

    /// Whether `tiles` tiles are one block, whose sums are complete at once.
    pub(super) fn one_block(&self, tiles: usize) -> bool {
        tiles <= self.words * self.pack
    }

    /// Words of the sums of an item that takes all coefficients.
    pub(super) fn channel_block_len(&self) -> usize {
        self.variant.weight_coefficients() * (CHANNEL_BLOCK.0 * CHANNEL_BLOCK.1 + BLOCK)
    }

    /// Words of the sums of a part.
    pub(super) fn sums_len(&self) -> usize {
        self.variant.weight_coefficients() * self.stride()
    }

    /// Words of the planes of both sides.
    pub(super) fn planes_len(&self) -> usize {
        self.v().len(self.variant.tile_coefficients())
            + self.w().len(self.variant.tile_coefficients())
    }

    /// The blocks of `tiles` tiles.
    pub(super) fn blocks(&self, tiles: usize) -> TileBlocks {
        let words = tiles.div_ceil(self.pack);
        let parts = power_of_two(self.parts.min(words / PART));
        let each = words.div_ceil(parts).div_ceil(self.words);
        TileBlocks { tiles, pack: self.pack, words, parts, each, most: self.words }
    }

    /// The most tiles of a block.
    pub(super) fn most_tiles(&self) -> usize {
        (self.words * self.pack).min(self.tiles)
    }

    /// The most blocks of any batch.
    pub(super) fn most_blocks(&self) -> usize {
        // All parts have as many as the one that has most.
        self.tiles.div_ceil(self.pack) / self.words + 2 * self.parts
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        // Smaller batches may have fewer parts.
        let planes = if self.parts > 1 { cpu.threads() } else { 1 };
        let whole = self.parts == 1 && self.one_block(self.tiles);
        let sums = if whole { 0 } else { self.parts * self.sums_len() };
        planes * self.planes_len() + sums.max(cpu.threads() * self.channel_block_len())
    }
}

/// The parts of a batch, and the blocks of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileBlocks {
    tiles: usize,
    pack: usize,
    words: usize,
    pub(super) parts: usize,
    /// The most blocks of a part.
    pub(super) each: usize,
    /// The most words of a block.
    most: usize,
}

impl TileBlocks {
    /// The number of block numbers. The last ones of a part may have no block.
    pub(super) fn len(&self) -> usize {
        self.parts * self.each
    }

    /// The number of tiles.
    pub(super) fn tiles_len(&self) -> usize {
        self.tiles
    }

    /// The numbers of a part's blocks.
    pub(super) fn of(&self, part: usize) -> Range<usize> {
        let of = *self;
        let first = part * self.each;
        first
            ..(first..first + self.each)
                .find(|&b| of.words(b).is_empty())
                .unwrap_or(first + self.each)
    }

    /// Whether a block is the first of its part.
    pub(super) fn is_first(&self, block: usize) -> bool {
        block.is_multiple_of(self.each)
    }

    /// The words of a block.
    pub(super) fn words(&self, block: usize) -> Range<usize> {
        let (part, at) = (block / self.each, block % self.each);
        let end = (part + 1) * self.words / self.parts;
        let first = (part * self.words / self.parts + at * self.most).min(end);
        first..(first + self.most).min(end)
    }

    /// The tiles of a block.
    pub(super) fn tiles(&self, block: usize) -> Range<usize> {
        let words = self.words(block);
        words.start * self.pack..(words.end * self.pack).min(self.tiles)
    }
}

/// The largest power of two up to `n`, at least 1. Powers of two divide well among threads.
pub(super) fn power_of_two(n: usize) -> usize {
    1 << n.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::Bf16;

    /// Every batch has each tile in one block, in order. Its blocks, and their bands, are no more
    /// than the largest batch has room for.
    #[test]
    fn blocks_cover_every_batch() {
        for (channels, height, width) in
            [(32, 32, 32), (64, 9, 27), (64, 33, 30), (256, 8, 8), (512, 4, 4), (128, 1, 57)]
        {
            let grid = |side| Grid { height, width, channels, side };
            for most in [1, 3, 32, 130] {
                let plan =
                    BackwardWeightPlan::new::<Bf16>(Variant::UnitStride, grid(4), grid(4), most);
                for batch in 1..=most {
                    let tiles = batch * plan.input.tiles();
                    let blocks = plan.blocks(tiles);
                    assert!(blocks.len() <= plan.most_blocks(), "{plan:?} of {batch}");
                    let mut next = 0;
                    for part in 0..blocks.parts {
                        for block in blocks.of(part) {
                            let of = blocks.tiles(block);
                            assert!(of.start == next && !of.is_empty(), "{plan:?} of {batch}");
                            assert!(plan.bands(&of).len() <= plan.layout().bands);
                            assert!(of.len() <= plan.most_tiles());
                            assert_eq!(blocks.is_first(block), block == blocks.of(part).start);
                            next = of.end;
                        }
                    }
                    assert_eq!(next, tiles, "{plan:?} of {batch}");
                }
            }
        }
    }
}
