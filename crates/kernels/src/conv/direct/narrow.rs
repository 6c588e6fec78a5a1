//! Groups narrower than a vector: inputs are permuted instead of broadcast (see
//! [`panels`](super::panels)).
//!
//! ```text
//! LOOP 3  pixels, MC: one item of work
//! LOOP 1  pixels, MR: a register tile
//! LOOP 2  outputs: a vector
//! -       taps, then steps: the micro-kernel
//! ```
//!
//! A vector of outputs reads a cache line of each pixel, and few weights. So tiles are outside: the
//! lines of their pixels stay in the L1 cache for all outputs.

use super::{
    gather::{Gather, Walk},
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
        let (taps, lanes) = (table.len(), lanes_of_blocks::<V, BLOCK>());
        assert!(self.channels <= table.run, "as many inputs as outputs");
        let count = self.count(table);
        let mut walk = Walk::new(table, self.first, self.extent);
        for tile in 0..count.div_ceil(MR) {
            let valid = MR.min(count - tile * MR);
            let place = walk.tile::<MR>(valid);
            let rows = self.rows(table, &place);
            for channel in (0..self.channels).step_by(V::LANES) {
                let mut sums = [[V::zero(); 1]; MR];
                for tap in 0..taps {
                    // SAFETY: the tap is one of the table's, and the vector within its run.
                    let inputs = unsafe { rows.inputs(tap, channel) };
                    let Some(inputs) = inputs else { continue };
                    let at = (channel / V::LANES * taps + tap) * BLOCK * V::LANES;
                    let weights = &weights[at..at + BLOCK * V::LANES];
                    // SAFETY: the table keeps `run` values in bounds from each start.
                    unsafe { micro_kernel(&mut sums, &inputs, weights, &lanes) };
                }
                self.finish::<V, MR, 1>(table, &place, valid, channel, sums);
            }
        }
    }
}

/// The micro-kernel, of one tap: `sums[p] += permute(inputs[p], lanes[j]) * weights[j]`.
///
/// # Safety
/// Each input must be valid for reading a vector.
#[inline(always)]
unsafe fn micro_kernel<X: Scalar, V: Vector, const MR: usize, const BLOCK: usize>(
    sums: &mut [[V; 1]; MR],
    inputs: &[*const X; MR],
    weights: &[f32],
    lanes: &[V; BLOCK],
) {
    let weights: [V; BLOCK] = std::array::from_fn(|j| V::read(&weights[j * V::LANES..]));
    for p in 0..MR {
        // SAFETY: the caller's contract.
        let x: V = unsafe { X::load(inputs[p]) };
        for j in 0..BLOCK {
            sums[p][0] = x.permute(lanes[j]).mul_add(weights[j], sums[p][0]);
        }
    }
}
