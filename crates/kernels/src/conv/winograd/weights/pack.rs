//! The transform of weights, once for many tiles.

use std::{marker::PhantomData, ops::Range};

use super::{
    gram::Gram,
    packed::Packed,
    quant_scales::{OutputScales, QuantScales},
    raw::RawWeights,
    taps::LINES,
};
use crate::{
    chunks::DisjointChunks,
    conv::winograd::{
        equalisation::Equalisation,
        grid::BLOCK,
        quantise::is_int16,
        transform::{UnscaledTransform, strided, unit_stride},
        variant::Variant,
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// Transforms weights to this layout. Where they are integers, they are multiplied by the factors
/// of the equalisation, which `packed` already holds.
pub(in crate::conv::winograd) fn pack<T: Scalar>(
    cpu: &Cpu,
    raw: RawWeights<'_>,
    layout: Packed,
    variant: Variant,
    packed: &mut [f32],
) {
    let nr = 2 * cpu.isa().lanes();
    // Quantisation needs the norms of the whole depth.
    let values = if is_int16::<T>() { layout.depth * T::PACK } else { BLOCK };
    let depths = layout.depth * T::PACK / values;
    assert!(packed.len() >= layout.len(variant.weight_coefficients()));
    let (packed, both) = packed.split_at_mut(layout.equalisation(variant.weight_coefficients()));
    let (packed, both) = (DisjointChunks::new(packed, 0), &*both);
    let equalisation =
        if is_int16::<T>() { Equalisation::of(both, values) } else { Equalisation::NONE };
    cpu.pool().run(layout.outputs.div_ceil(nr) * depths, &|_, item| {
        let first = item / depths * nr;
        let start = item % depths * values;
        cpu.isa().dispatch(Pack::<T> {
            raw,
            layout,
            variant,
            first,
            depth: start..start + values,
            equalisation: equalisation.weights,
            to: packed.as_mut_ptr(),
            scalar: PhantomData,
        });
    });
}

/// A panel of outputs, by some values of the depth.
struct Pack<'a, T> {
    raw: RawWeights<'a>,
    layout: Packed,
    variant: Variant,
    first: usize,
    depth: Range<usize>,
    equalisation: &'a [f32],
    to: *mut f32,
    scalar: PhantomData<T>,
}

impl<T: Scalar> Kernel for Pack<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        match self.variant {
            Variant::UnitStride => self.panel::<unit_stride::WeightTransform, V>(),
            Variant::Strided => self.panel::<strided::WeightTransform, V>(),
        }
    }
}

impl<T: Scalar> Pack<'_, T> {
    #[inline(always)]
    fn panel<L: UnscaledTransform, V: Vector>(self) {
        let Pack { raw, layout, variant, first, depth, equalisation, to, .. } = self;
        let width = (2 * V::LANES).min(layout.outputs - first);
        // Nine taps of up to two values for each word of a block, of 32 lanes.
        let mut gathered = [0.0; 9 * 2 * BLOCK * 32];
        let block = BLOCK * T::PACK;
        let stride = layout.stride();
        let mut quant = QuantScales::new();
        // SAFETY: `pack` has checked the length; each item has its own panel and depths.
        unsafe {
            let mut lanes = OutputScales::ONE;
            if is_int16::<T>() {
                let mut gram = Gram::new();
                for start in depth.clone().step_by(block) {
                    let part = start..start + block;
                    let taps = raw.taps::<T, V>(first, width, part, equalisation, &mut gathered);
                    gram.add::<V>(&taps, 0..block, width);
                }
                if !gram.is_usable(width) {
                    let mut most = OutputScales([0.0; 32]);
                    for start in depth.clone().step_by(block) {
                        let part = start..start + block;
                        let taps =
                            raw.taps::<T, V>(first, width, part, equalisation, &mut gathered);
                        taps.largest::<V>(0..block, width, &mut most);
                    }
                    lanes = most.powers_of_two();
                    gram = Gram::new();
                    for start in depth.clone().step_by(block) {
                        let part = start..start + block;
                        let taps =
                            raw.taps::<T, V>(first, width, part, equalisation, &mut gathered);
                        taps.divide::<V>(0..block, width, &lanes);
                        gram.add::<V>(&taps, 0..block, width);
                    }
                }
                gram.squares::<L, V>(width, &mut quant);
                let dequant = to.add(layout.dequant() + first);
                quant.scale::<L, V>(variant, width, &lanes, dequant, stride);
            }
            let is_divided = lanes.0 != OutputScales::ONE.0;
            for start in depth.step_by(block) {
                let part = start..start + block;
                let taps = raw.taps::<T, V>(first, width, part, equalisation, &mut gathered);
                if is_divided {
                    taps.divide::<V>(0..block, width, &lanes);
                }
                // All panels before this one are whole.
                let to = to.add(first * layout.depth + start / T::PACK * width);
                for (group, lines) in LINES.into_iter().enumerate() {
                    let to = to.add(6 * lines.start * stride);
                    taps.transform::<L, T, V>(group, 0..block, width, &quant, to, stride);
                }
            }
        }
    }
}
