//! Images cut into tiles, and the layout of transformed tiles.

use std::ops::Range;

use crate::layout::CHANNEL_BLOCK;

/// Stored channels, at most.
pub(super) const MAX_CHANNELS: usize = 4096;

/// Words of a block in a plane: one cache line.
pub(super) const BLOCK: usize = CHANNEL_BLOCK;

/// Images of one size, cut into tiles of `side` x `side` pixels. Tiles are numbered by image, row
/// and column. A row of tiles is a *band*.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Stored channels.
    pub(super) channels: usize,
    pub(super) side: usize,
}

impl Grid {
    /// Tiles of a band.
    pub(super) fn columns(&self) -> usize {
        self.width.div_ceil(self.side)
    }

    /// Bands of an image.
    pub(super) fn bands(&self) -> usize {
        self.height.div_ceil(self.side)
    }

    /// Tiles of an image.
    pub(super) fn tiles(&self) -> usize {
        self.bands() * self.columns()
    }

    /// Stored values of an image.
    pub(super) fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The range of stored values from the first to the last row of some tiles.
    pub(super) fn rows(&self, tiles: Range<usize>) -> Range<usize> {
        let at = |tile: usize| {
            let (image, y, _) = self.place(tile);
            image * self.image_len() + y * self.width * self.channels
        };
        at(tiles.start)..at(tiles.end - 1) + self.side * self.width * self.channels
    }

    /// The image of a tile, and its first row and column.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, tile) = (tile / self.tiles(), tile % self.tiles());
        (image, tile / self.columns() * self.side, tile % self.columns() * self.side)
    }
}

/// Transformed tiles, `[coefficient][block of channels][tile][BLOCK]`: the matrix product of each
/// coefficient reads and writes whole cache lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    /// Blocks of [`BLOCK`] words.
    pub(super) blocks: usize,
    /// Tiles, or pairs of tiles.
    pub(super) tiles: usize,
}

impl Planes {
    /// Words from one coefficient to the next. There is a line of padding, so that coefficients do
    /// not all fall into one set of the cache.
    pub(super) fn stride(&self) -> usize {
        (self.blocks * self.tiles + 1) * BLOCK
    }

    /// Words of the planes of `coefficients` coefficients.
    pub(super) fn len(&self, coefficients: usize) -> usize {
        coefficients * self.stride()
    }

    /// Where a tile's block starts in a coefficient's plane.
    #[inline(always)]
    pub(super) fn at(&self, block: usize, tile: usize) -> usize {
        (block * self.tiles + tile) * BLOCK
    }
}
