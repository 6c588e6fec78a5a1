//! Matrix products of planes: the macro-kernels and micro-kernels of Winograd's passes.
//!
//! Forward, each coefficient has a product `M = V U`, of `[tiles][channels]` with
//! `[channels][outputs]`. Its loops are those of BLIS, in another order:
//!
//! ```text
//! LOOP 3  tiles, MC = a block of them: V is in the L2 cache, or shared by all threads
//! LOOP 5  outputs, NC = those of an item: all, or one panel where threads share V
//! LOOP 4  channels, KC = all, or a block where weights are transformed on the fly
//! -       coefficient: these products are independent
//! LOOP 2  outputs, NR = 2 vectors: a panel of U, KC x NR words, in the L1 cache
//! LOOP 1  tiles, MR: a register tile             ┐ [`multiply_panel`]
//! -       channels, one word: the micro-kernel   ┘
//! ```
//!
//! With a stride of 2, LOOP 2 is outside of the coefficients: a panel's products are transformed
//! back before the next panel's are computed.
//!
//! Packing A is the transform of tiles ([`super::planes`]), packing B that of weights
//! ([`super::weights`]); C is read by the inverse transform ([`super::inverse`]).
//!
//! For the gradient of the weights, each coefficient has a product over tiles, `dU = W^T V`, of
//! `[outputs][tiles]` with `[tiles][channels]`:
//!
//! ```text
//! LOOP 4  tiles, KC = a block of them: their V and W are in a cache
//! -       coefficient
//! LOOP 3  outputs, MC: those of an item
//! LOOP 5  channels, NC: those of an item
//! LOOP 2  channels, NR = 2 vectors             ┐
//! LOOP 1  outputs, MR: a register tile         │ [`Operands::multiply`]
//! -       tiles, one word: the micro-kernel    ┘
//! ```

use std::ops::Range;

use super::{
    grid::{BLOCK, Planes},
    prefetch::Prefetcher,
    quantise::{self, is_int16},
};
use crate::{isa::Vector, scalar::Scalar};

/// `m[tile][lane] (+)= sum over k of v[k][tile] * u[k][lane]`, for one coefficient, one panel of
/// `NV` vectors of outputs and `groups` register tiles.
///
/// `v` is a plane `[block][tiles][BLOCK]` and `u` a panel `[blocks * BLOCK][NV vectors]`. `m`
/// points at the first vector of tile 0; the next vector of a tile is `m_vector` words on. Sums of
/// integers are multiplied by the dequantisation scales of the outputs, `NV` vectors. Takes
/// `groups * blocks` steps of the `prefetcher`.
///
/// ```text
///                         u[k]: a panel of weights
///                        ┌─────────┬─────────┐
///                        │ vector 0│ vector 1│
///                        └─────────┴─────────┘
/// v[k] ─ tile 0 splat ─▶ ┌─────────┬─────────┐
///        tile 1 splat ─▶ │    MR x NV sums   │  f32, or i32 where words are pairs of i16
///             ...        └─────────┴─────────┘
/// ```
///
/// # Safety
/// `v` must hold `blocks` blocks of `tiles` tiles, at least `groups * MR`; the others as above.
#[inline(always)]
pub(super) unsafe fn multiply_panel<T: Scalar, V: Vector, const MR: usize, const NV: usize>(
    v: *const f32,
    tiles: usize,
    u: *const f32,
    dequant: *const f32,
    blocks: usize,
    m: *mut f32,
    m_vector: usize,
    groups: usize,
    accumulate: bool,
    prefetcher: &mut Prefetcher,
) {
    // LOOP 1: MR tiles of the block.
    for group in 0..groups {
        // SAFETY: the caller's contract.
        unsafe {
            let mut sums = [[V::zero(); NV]; MR];
            if accumulate && !is_int16::<T>() {
                for (p, sums) in sums.iter_mut().enumerate() {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = V::load(m.add((group * MR + p) * BLOCK + i * m_vector));
                    }
                }
            }
            let mut w = u;
            // The micro-kernel: words of the depth, a cache line of each tile at a time.
            for block in 0..blocks {
                prefetcher.prefetch::<V>();
                let x = v.add((block * tiles + group * MR) * BLOCK);
                for k in 0..BLOCK {
                    let mut row = [V::zero(); NV];
                    for (i, row) in row.iter_mut().enumerate() {
                        *row = V::load(w.add(i * V::LANES));
                    }
                    w = w.add(NV * V::LANES);
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let x = V::splat(*x.add(p * BLOCK + k));
                        for (sum, w) in sums.iter_mut().zip(row) {
                            *sum = quantise::multiply::<T, V>(x, w, *sum);
                        }
                    }
                }
            }
            for (p, sums) in sums.into_iter().enumerate() {
                for (i, mut sum) in sums.into_iter().enumerate() {
                    let m = m.add((group * MR + p) * BLOCK + i * m_vector);
                    if is_int16::<T>() {
                        sum = sum.i32_to_f32().mul(V::load(dequant.add(i * V::LANES)));
                        if accumulate {
                            sum = sum.add(V::load(m));
                        }
                    }
                    sum.store(m);
                }
            }
        }
    }
}

/// The micro-kernel of a gradient:
/// `sums[p][lane] (+)= sum over tiles of w[tile][p] * v[tile][lane]`. It takes `MR` output channels
/// from `w` on, and `NV` vectors of input channels that are `v_vector` words apart. Rows of `sums`
/// are `row` words apart. Sums of integers are multiplied by the dequantisation scales of both
/// sides and by `norm`.
///
/// ```text
///                               v[tile]: input channels
///                              ┌─────────┬─────────┐
///                              │ vector 0│ vector 1│
///                              └─────────┴─────────┘
/// w[tile] ─ output 0 splat ──▶ ┌─────────┬─────────┐
///           output 1 splat ──▶ │    MR x NV sums   │
///                ...           └─────────┴─────────┘
/// ```
///
/// # Safety
/// `w` and `v` must hold `count` lines of [`BLOCK`] words, `sums` the tile, both scales the
/// channels.
#[inline(always)]
pub(super) unsafe fn gradient_micro_kernel<
    T: Scalar,
    V: Vector,
    const MR: usize,
    const NV: usize,
>(
    w: *const f32,
    v: *const f32,
    (w_dequant, v_dequant): (*const f32, *const f32),
    norm: f32,
    v_vector: usize,
    count: usize,
    sums: *mut f32,
    row: usize,
    first: bool,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if !first {
            // They arrive while the products run.
            for p in 0..MR {
                for i in 0..NV {
                    V::prefetch(sums.add(p * row + i * V::LANES));
                }
            }
        }
        let mut held = [[V::zero(); NV]; MR];
        for tile in 0..count {
            let (w, v) = (w.add(tile * BLOCK), v.add(tile * BLOCK));
            let mut lanes = [V::zero(); NV];
            for (i, lanes) in lanes.iter_mut().enumerate() {
                *lanes = V::load(v.add(i * v_vector));
            }
            for (p, held) in held.iter_mut().enumerate() {
                let d = V::splat(*w.add(p));
                for (sum, lanes) in held.iter_mut().zip(lanes) {
                    *sum = quantise::multiply::<T, V>(d, lanes, *sum);
                }
            }
        }
        for (p, held) in held.into_iter().enumerate() {
            let mut dequant_scale = V::zero();
            if is_int16::<T>() {
                dequant_scale = V::splat(*w_dequant.add(p) * norm);
            }
            for (i, mut sum) in held.into_iter().enumerate() {
                let sums = sums.add(p * row + i * V::LANES);
                // Added only here: many short sums round less than a long one.
                if is_int16::<T>() {
                    let dequant_scale = V::load(v_dequant.add(i * V::LANES)).mul(dequant_scale);
                    sum = sum.i32_to_f32();
                    sum = if first {
                        sum.mul(dequant_scale)
                    } else {
                        sum.mul_add(dequant_scale, V::load(sums))
                    };
                } else if !first {
                    sum = sum.add(V::load(sums));
                }
                sum.store(sums);
            }
        }
    }
}

/// The operands of a coefficient's product for a gradient of weights, over a block of tiles: planes
/// of the input, `v`, and of the gradient of the output, `w`.
pub(super) struct Operands<'a> {
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) v_planes: Planes,
    pub(super) w_planes: Planes,
    /// Dequantisation scales of the channels of integers, and the coefficient's norm, by which they
    /// are multiplied.
    pub(super) v_dequant: &'a [f32],
    pub(super) w_dequant: &'a [f32],
    pub(super) norm: f32,
    /// Words of tiles.
    pub(super) words: usize,
}

impl Operands<'_> {
    /// Their product over tiles, `[outputs][inputs]`, with rows that are `row` words apart. It is
    /// stored, or added unless it is the `first`.
    ///
    /// # Safety
    /// `sums` must have room.
    #[inline(always)]
    pub(super) unsafe fn multiply<T: Scalar, V: Vector, const MR: usize>(
        &self,
        sums: *mut f32,
        outputs: Range<usize>,
        inputs: Range<usize>,
        row: usize,
        first: bool,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            // 4 and 8 divide a block of outputs; 6, the MR of AVX2, does not.
            if MR == 8 {
                self.tiles::<T, V, 8>(sums, outputs, inputs, row, first);
            } else {
                self.tiles::<T, V, 4>(sums, outputs, inputs, row, first);
            }
        }
    }

    /// # Safety
    /// As [`Operands::multiply`].
    #[inline(always)]
    unsafe fn tiles<T: Scalar, V: Vector, const MR: usize>(
        &self,
        sums: *mut f32,
        outputs: Range<usize>,
        inputs: Range<usize>,
        row: usize,
        first: bool,
    ) {
        let Operands { v, w, v_planes, w_planes, v_dequant, w_dequant, norm, words } = *self;
        let nr = 2 * V::LANES;
        let v_vector = if V::LANES == BLOCK { v_planes.tiles * BLOCK } else { V::LANES };
        assert!(v.len() >= v_planes.stride() && w.len() >= w_planes.stride());
        let scaled = v_dequant.len() >= inputs.end && w_dequant.len() >= outputs.end;
        assert!(scaled || !is_int16::<T>());
        // LOOP 2: panels of NR input channels.
        for channel in inputs.clone().step_by(nr) {
            // LOOP 1: MR output channels.
            for out in outputs.clone().step_by(MR) {
                // SAFETY: within the planes, and within the sums.
                unsafe {
                    let v = v.as_ptr().add(v_planes.at(channel / BLOCK, 0) + channel % BLOCK);
                    let w = w.as_ptr().add(w_planes.at(out / BLOCK, 0) + out % BLOCK);
                    let sums = sums.add((out - outputs.start) * row + channel - inputs.start);
                    let dequant = (
                        w_dequant.as_ptr().wrapping_add(out),
                        v_dequant.as_ptr().wrapping_add(channel),
                    );
                    if inputs.end - channel >= nr {
                        gradient_micro_kernel::<T, V, MR, 2>(
                            w, v, dequant, norm, v_vector, words, sums, row, first,
                        );
                    } else {
                        gradient_micro_kernel::<T, V, MR, 1>(
                            w, v, dequant, norm, v_vector, words, sums, row, first,
                        );
                    }
                }
            }
        }
    }
}
