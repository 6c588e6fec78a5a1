//! Items of work of the gradient of the weights.

use std::{marker::PhantomData, ops::Range};

use super::{plan::BackwardWeightPlan, statistics::BlockStatistics};
use crate::{
    conv::{
        operands::TypedInput,
        winograd::{
            grid::BLOCK,
            multiply::Operands,
            planes::gradient_planes,
            quantise::channel_at,
            transform::{OperandTransform, strided, unit_stride},
            variant::Variant,
            weights::{Strides, unpack_row},
        },
    },
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// A block of tiles: planes of the input and of the gradient of the output.
#[derive(Clone, Copy)]
pub(super) struct TileBlock<'a> {
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) statistics: BlockStatistics<'a>,
}

/// Transforms some tiles of both sides.
pub(super) struct Transform<'a, T> {
    pub(super) plan: &'a BackwardWeightPlan,
    pub(super) x: TypedInput<'a, T>,
    pub(super) dy: &'a [T],
    pub(super) statistics: BlockStatistics<'a>,
    /// The block's first band.
    pub(super) band: usize,
    pub(super) tiles: Range<usize>,
    pub(super) v: *mut f32,
    pub(super) w: *mut f32,
    /// Position of the first tile's word in the block.
    pub(super) at: usize,
}

impl<T: Scalar> Kernel for Transform<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        if self.plan.variant == Variant::Strided {
            self.planes::<strided::InputTransform, strided::OutputAdjoint, V, 9, 9>();
        } else {
            self.planes::<unit_stride::InputTransform, unit_stride::OutputAdjoint, V, 6, 6>();
        }
    }
}

impl<T: Scalar> Transform<'_, T> {
    /// Transforms patches of `S` x `S` pixels of the input by `I`, and tiles of 4 x 4 pixels of the
    /// gradient of the output by `O`.
    #[inline(always)]
    fn planes<
        I: OperandTransform<S, N>,
        O: OperandTransform<4, N>,
        V: Vector,
        const S: usize,
        const N: usize,
    >(
        self,
    ) {
        let Transform { plan, x, dy, statistics, band, tiles, v, w, at } = self;
        let (of_x, dy) = (tiles.clone(), dy.into());
        let v_quant = (statistics.v_quant, statistics.v_band_scales, band);
        let w_quant = (statistics.w_quant, statistics.w_band_scales, band);
        // SAFETY: the scratch holds the planes; each item has its own tiles.
        unsafe {
            gradient_planes::<I, T, V, S, N>(&plan.input, x, of_x, 1, &plan.v(), v_quant, v, at);
            gradient_planes::<O, T, V, 4, N>(&plan.output, dy, tiles, 0, &plan.w(), w_quant, w, at);
        }
    }
}

/// The products of one coefficient of the window, for some output channels.
pub(super) struct Multiply<'a, T> {
    pub(super) plan: &'a BackwardWeightPlan,
    pub(super) block: TileBlock<'a>,
    pub(super) weight: usize,
    /// Sums of the coefficient.
    pub(super) sums: *mut f32,
    pub(super) channels: Range<usize>,
    pub(super) words: usize,
    pub(super) first: bool,
    pub(super) scalar: PhantomData<T>,
}

impl<T: Scalar> Kernel for Multiply<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let Multiply { plan, block, weight, sums, channels, words, first, .. } = self;
        let inputs = plan.input.channels;
        // SAFETY: `sums` are the coefficient's.
        unsafe {
            let sums = sums.add(channels.start * inputs);
            let all = 0..inputs;
            plan.sums::<T, V, MR>(block, weight, sums, channels, all, inputs, words, first);
        }
    }
}

/// The products of all coefficients for some channels of both sides, and their transform to
/// gradients of weights.
pub(super) struct ChannelBlock<'a, T> {
    pub(super) plan: &'a BackwardWeightPlan,
    pub(super) block: TileBlock<'a>,
    pub(super) sums: &'a mut [f32],
    pub(super) outputs: Range<usize>,
    pub(super) inputs: Range<usize>,
    pub(super) words: usize,
    pub(super) dw: *mut f32,
    pub(super) scalar: PhantomData<T>,
}

impl<T: Scalar> Kernel for ChannelBlock<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let ChannelBlock { plan, block, sums, outputs, inputs, words, dw, .. } = self;
        let (row, channels) = (inputs.len(), plan.input.channels);
        let strides = Strides { coefficients: outputs.len() * row + BLOCK, parts: 0, count: 1 };
        assert!(sums.len() >= plan.variant.weight_coefficients() * strides.coefficients);
        for weight in 0..plan.variant.weight_coefficients() {
            let (outputs, inputs) = (outputs.clone(), inputs.clone());
            // SAFETY: `sums` holds those of every coefficient.
            unsafe {
                let sums = sums.as_mut_ptr().add(weight * strides.coefficients);
                plan.sums::<T, V, MR>(block, weight, sums, outputs, inputs, row, words, true);
            }
        }
        for (i, place) in outputs.enumerate() {
            // SAFETY: each item has its own channels of `dw`, whose length `run` has checked.
            unsafe {
                let sums = sums.as_ptr().add(i * row);
                let dw = dw.add(channel_at::<T, V>(place) * 9 * channels + inputs.start);
                unpack_row::<T, V>(plan.variant, sums, strides, row, dw, channels);
            }
        }
    }
}

impl BackwardWeightPlan {
    /// The products of one coefficient of the window, `[outputs][inputs]`, with rows that are `row`
    /// words apart.
    ///
    /// # Safety
    /// `sums` must have room.
    #[inline(always)]
    unsafe fn sums<T: Scalar, V: Vector, const MR: usize>(
        &self,
        block: TileBlock<'_>,
        weight: usize,
        sums: *mut f32,
        outputs: Range<usize>,
        inputs: Range<usize>,
        row: usize,
        words: usize,
        first: bool,
    ) {
        let (v_planes, w_planes) = (self.v(), self.w());
        let BlockStatistics { v_dequant, w_dequant, .. } = block.statistics;
        let (v_norm, w_norm) = self.variant.norms(weight);
        let norm = v_norm * w_norm;
        for (i, coefficient) in self.variant.tile_coefficients_for(weight).enumerate() {
            let v = &block.v[coefficient * v_planes.stride()..];
            let w = &block.w[coefficient * w_planes.stride()..];
            let operands = Operands { v, w, v_planes, w_planes, v_dequant, w_dequant, norm, words };
            let (outputs, inputs) = (outputs.clone(), inputs.clone());
            // SAFETY: the caller's contract.
            unsafe { operands.multiply::<T, V, MR>(sums, outputs, inputs, row, first && i == 0) };
        }
    }
}
