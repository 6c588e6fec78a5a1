//! Items of work of the gradient of the weights.

use std::{marker::PhantomData, ops::Range};

use super::BackwardWeight;
use crate::{
    conv::{
        Activation,
        winograd::{
            multiply::Sides,
            tiles::{BLOCK, gradient_planes},
            transform::{Input, OutputAdjoint, WeightAdjoint},
            weights,
        },
    },
    element::Element,
    isa::{Kernel, Vector},
};

/// Transforms some tiles of both sides.
pub(super) struct Transform<'a, X, E> {
    pub(super) plan: &'a BackwardWeight,
    pub(super) x: Activation<'a, X>,
    pub(super) dy: &'a [E],
    pub(super) tiles: Range<usize>,
    pub(super) v: *mut f32,
    pub(super) w: *mut f32,
    /// Place of the first in the block.
    pub(super) at: usize,
}

impl<X: Element, E: Element> Kernel for Transform<'_, X, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        if E::PACK == 1 {
            self.planes::<V, 4, 6>();
        } else {
            self.planes::<V, 2, 4>();
        }
    }
}

impl<X: Element, E: Element> Transform<'_, X, E> {
    #[inline(always)]
    fn planes<V: Vector, const M: usize, const N: usize>(self) {
        let (plan, tiles) = (self.plan, self.tiles);
        // SAFETY: the scratch holds the planes; each item has its own tiles.
        unsafe {
            gradient_planes::<Input, X, V, N, N>(
                &plan.input,
                self.x,
                tiles.clone(),
                1,
                &plan.v(),
                self.v,
                self.at,
            );
            gradient_planes::<OutputAdjoint, E, V, M, N>(
                &plan.output,
                self.dy.into(),
                tiles,
                0,
                &plan.w(),
                self.w,
                self.at,
            );
        }
    }
}

/// Sums of an element for some output channels.
pub(super) struct Multiply<'a, E> {
    pub(super) plan: &'a BackwardWeight,
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) sums: *mut f32,
    pub(super) channels: Range<usize>,
    pub(super) words: usize,
    pub(super) first: bool,
    pub(super) element: PhantomData<E>,
}

impl<E: Element> Kernel for Multiply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Multiply { plan, v, w, sums, channels, words, first, .. } = self;
        let inputs = plan.input.channels;
        // SAFETY: these are the planes and sums of an element.
        unsafe {
            let sums = sums.add(channels.start * inputs);
            let sides = plan.sides(v, w, words);
            sides.multiply::<E, V, TILE>(sums, channels, 0..inputs, inputs, first);
        }
    }
}

/// Sums of all elements for some channels of both sides, and from them the weights' gradient.
pub(super) struct Square<'a, E> {
    pub(super) plan: &'a BackwardWeight,
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) sums: &'a mut [f32],
    pub(super) outputs: Range<usize>,
    pub(super) inputs: Range<usize>,
    pub(super) words: usize,
    pub(super) dw: *mut f32,
    pub(super) element: PhantomData<E>,
}

impl<E: Element> Kernel for Square<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Square { plan, v, w, sums, outputs, inputs, words, dw, .. } = self;
        let (row, channels) = (inputs.len(), plan.input.channels);
        let stride = outputs.len() * row + BLOCK;
        assert!(sums.len() >= plan.elements() * stride);
        for e in 0..plan.elements() {
            let (v, w) = (&v[e * plan.v().stride()..], &w[e * plan.w().stride()..]);
            // SAFETY: these are the planes of an element, and `sums` holds its sums.
            unsafe {
                let sums = sums.as_mut_ptr().add(e * stride);
                let (outputs, inputs) = (outputs.clone(), inputs.clone());
                let sides = plan.sides(v, w, words);
                sides.multiply::<E, V, TILE>(sums, outputs, inputs, row, true);
            }
        }
        for (i, out) in outputs.enumerate() {
            // SAFETY: each item has its own channels of `dw`, whose length `run` has checked.
            unsafe {
                let (sums, dw) =
                    (sums.as_ptr().add(i * row), dw.add(out * 9 * channels + inputs.start));
                if E::PACK == 1 {
                    weights::unpack_row::<WeightAdjoint, V, 6>(
                        sums,
                        stride,
                        (1, 0),
                        row,
                        dw,
                        channels,
                    );
                } else {
                    weights::unpack_row::<WeightAdjoint, V, 4>(
                        sums,
                        stride,
                        (1, 0),
                        row,
                        dw,
                        channels,
                    );
                }
            }
        }
    }
}

impl BackwardWeight {
    fn sides<'a>(&self, v: &'a [f32], w: &'a [f32], words: usize) -> Sides<'a> {
        Sides { v, w, v_planes: self.v(), w_planes: self.w(), words }
    }
}
