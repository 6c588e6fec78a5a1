//! Groups narrower than a vector: inputs are permuted instead of broadcast (see
//! [`panels`](super::panels)).
//!
//! ```text
//! LOOP 3  pixels, MC: one item of work
//! LOOP 1  pixels, MR: a register tile
//! LOOP 2  outputs: a panel of one or two vectors
//! -       taps, then steps: the micro-kernel
//! ```
//!
//! A vector of outputs reads a cache line of each pixel, and few weights. So tiles are outside: the
//! lines of their pixels stay in the L1 cache for all outputs. The depth is not cut into blocks.

use super::{
    gather::{Gather, TapRows, Walk},
    indirection::IndirectionBuffer,
    panels::lanes_of_blocks,
};
use crate::{isa::Vector, scalar::Scalar};

impl<X: Scalar, T: Scalar> Gather<'_, X, T> {
    /// All outputs of a table, in blocks of `BLOCK` channels.
    #[inline(always)]
    pub(super) fn narrow<V: Vector, const MR: usize, const BLOCK: usize>(
        &mut self,
        table: &IndirectionBuffer,
        weights: &[f32],
    ) {
        let lanes = lanes_of_blocks::<V, BLOCK>();
        assert!(self.channels <= table.run, "as many inputs as outputs");
        let count = self.count(table);
        let mut walk = Walk::new(table, self.first, self.extent);
        for tile in 0..count.div_ceil(MR) {
            let valid = MR.min(count - tile * MR);
            let place = walk.tile::<MR>(valid);
            let rows = self.rows(table, &place);
            let mut rest = weights;
            for panel in self.panels.all() {
                let len = table.len() * BLOCK * panel.vectors * V::LANES;
                let (weights, after) = rest.split_at(len);
                rest = after;
                if panel.vectors == 2 {
                    // SAFETY: the weights are those of the table's taps; checked above.
                    let sums =
                        unsafe { sums::<X, V, MR, 2, BLOCK>(&rows, panel.first, weights, &lanes) };
                    self.finish::<V, MR, 2>(table, &place, valid, panel.first, sums);
                } else {
                    // SAFETY: as above.
                    let sums =
                        unsafe { sums::<X, V, MR, 1, BLOCK>(&rows, panel.first, weights, &lanes) };
                    self.finish::<V, MR, 1>(table, &place, valid, panel.first, sums);
                }
            }
        }
    }
}

/// The sums of a register tile over all taps; the weights are a panel's.
///
/// # Safety
/// The table must have the taps that there are weights for, and the panel be within its run.
#[inline(always)]
unsafe fn sums<X: Scalar, V: Vector, const MR: usize, const NV: usize, const BLOCK: usize>(
    rows: &TapRows<X, MR>,
    channel: usize,
    weights: &[f32],
    lanes: &[V; BLOCK],
) -> [[V; NV]; MR] {
    let mut sums = [[V::zero(); NV]; MR];
    for (tap, weights) in weights.chunks_exact(BLOCK * NV * V::LANES).enumerate() {
        // SAFETY: the caller's contract.
        unsafe {
            if let Some(inputs) = rows.inputs(tap, channel) {
                micro_kernel(&mut sums, &inputs, weights, lanes);
            }
        }
    }
    sums
}

/// The micro-kernel, of one tap: `sums[p][v] += permute(inputs[p][v], lanes[j]) * weights[j][v]`.
///
/// # Safety
/// Each input must be valid for reading `NV` vectors, and `weights` hold `BLOCK * NV`.
#[inline(always)]
unsafe fn micro_kernel<X, V, const MR: usize, const NV: usize, const BLOCK: usize>(
    sums: &mut [[V; NV]; MR],
    inputs: &[*const X; MR],
    weights: &[f32],
    lanes: &[V; BLOCK],
) where
    X: Scalar,
    V: Vector,
{
    for v in 0..NV {
        // Steps are outside of pixels: registers hold the sums of both vectors and the inputs of one.
        // SAFETY: the caller's contract.
        let x: [V; MR] = std::array::from_fn(|p| unsafe { X::load(inputs[p].add(v * V::LANES)) });
        for (j, &from) in lanes.iter().enumerate() {
            let weights = V::read(&weights[(j * NV + v) * V::LANES..]);
            for p in 0..MR {
                sums[p][v] = x[p].permute(from).mul_add(weights, sums[p][v]);
            }
        }
    }
}
