//! Items of work of the gradient of the weights.

use std::{marker::PhantomData, ops::Range};

use super::BackwardWeight;
use crate::{
    conv::{
        Activation,
        winograd::{
            multiply,
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
            plan.multiply::<E, V, TILE>(v, w, sums, channels, 0..inputs, words, inputs, first);
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
                plan.multiply::<E, V, TILE>(v, w, sums, outputs, inputs, words, row, true);
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
    /// Products of an element: `[outputs][row]`, of which a row's start is `inputs`.
    ///
    /// # Safety
    /// `v` and `w` must start with the planes of the element, and `sums` have room.
    #[inline(always)]
    unsafe fn multiply<E: Element, V: Vector, const TILE: usize>(
        &self,
        v: &[f32],
        w: &[f32],
        sums: *mut f32,
        outputs: Range<usize>,
        inputs: Range<usize>,
        words: usize,
        row: usize,
        first: bool,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            // Tiles of outputs divide a block.
            if TILE == 8 {
                self.tiles::<E, V, 8>(v, w, sums, outputs, inputs, words, row, first);
            } else {
                self.tiles::<E, V, 4>(v, w, sums, outputs, inputs, words, row, first);
            }
        }
    }

    /// # Safety
    /// As [`BackwardWeight::multiply`].
    #[inline(always)]
    unsafe fn tiles<E: Element, V: Vector, const P: usize>(
        &self,
        v: &[f32],
        w: &[f32],
        sums: *mut f32,
        outputs: Range<usize>,
        inputs: Range<usize>,
        words: usize,
        row: usize,
        first: bool,
    ) {
        let wide = 2 * V::LANES;
        let (v_planes, w_planes) = (self.v(), self.w());
        let v_vector = if V::LANES == BLOCK { v_planes.tiles * BLOCK } else { V::LANES };
        assert!(v.len() >= v_planes.stride() && w.len() >= w_planes.stride());
        for channel in inputs.clone().step_by(wide) {
            for out in outputs.clone().step_by(P) {
                // SAFETY: within the planes, and within the element's sums.
                unsafe {
                    let v = v.as_ptr().add(v_planes.at(channel / BLOCK, 0) + channel % BLOCK);
                    let w = w.as_ptr().add(w_planes.at(out / BLOCK, 0) + out % BLOCK);
                    let sums = sums.add((out - outputs.start) * row + channel - inputs.start);
                    if inputs.end - channel >= wide {
                        multiply::outer::<E, V, P, 2>(w, v, v_vector, words, sums, row, first);
                    } else {
                        multiply::outer::<E, V, P, 1>(w, v, v_vector, words, sums, row, first);
                    }
                }
            }
        }
    }
}
