//! What a workgroup is.

/// Threads of a workgroup.
pub(crate) const THREADS: u64 = 256;

/// The text of `workgroup_sum(lid, value)`, for `Kernel::with`.
pub(crate) const SUM: &str = include_str!("shaders/workgroup_sum.wgsl");

/// What a thread computes of a product: `rows` rows of `vectors` vectors of four columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadTile {
    pub(crate) rows: usize,
    pub(crate) vectors: usize,
}

impl ThreadTile {
    /// From small, which suits every device, to large, which needs many registers.
    pub(crate) const ALL: [ThreadTile; 3] = [
        ThreadTile { rows: 4, vectors: 1 },
        ThreadTile { rows: 8, vectors: 1 },
        ThreadTile { rows: 8, vectors: 2 },
    ];

    /// Bytes of workgroup memory of a tile with 16 threads side by side: see `conv.wgsl`.
    pub(crate) fn workgroup_bytes(self) -> u32 {
        let (rows, columns4) = (16 * self.rows, 16 * self.vectors);
        (rows * 5 * 16 + 16 * columns4 * 16) as u32
    }
}
