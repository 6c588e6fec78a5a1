//! Items of work of the gradient of the weights.

use std::{marker::PhantomData, ops::Range};

use super::BackwardWeight;
use crate::{
    conv::{
        Activation,
        winograd::{
            form::Form,
            multiply::Sides,
            strided,
            tiles::{BLOCK, gradient_planes},
            transform::{Input, Line, OutputAdjoint},
            weights::Apart,
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
        // The first condition is constant: bfloat16 has one form.
        if E::PACK == 2 {
            self.planes::<Input, OutputAdjoint, V, 4, 2, 4>();
        } else if self.plan.form == Form::Strided {
            self.planes::<strided::Input, strided::OutputAdjoint, V, 9, 4, 9>();
        } else {
            self.planes::<Input, OutputAdjoint, V, 6, 4, 6>();
        }
    }
}

impl<X: Element, E: Element> Transform<'_, X, E> {
    /// `I` of patches of `S` x `S` pixels of the input, and `O` of tiles of `M` x `M` of the output's
    /// gradient.
    #[inline(always)]
    fn planes<
        I: Line<S, N>,
        O: Line<M, N>,
        V: Vector,
        const S: usize,
        const M: usize,
        const N: usize,
    >(
        self,
    ) {
        let Transform { plan, x, dy, tiles, v, w, at } = self;
        let (of_x, dy) = (tiles.clone(), dy.into());
        // SAFETY: the scratch holds the planes; each item has its own tiles.
        unsafe {
            gradient_planes::<I, X, V, S, N>(&plan.input, x, of_x, 1, &plan.v(), v, at);
            gradient_planes::<O, E, V, M, N>(&plan.output, dy, tiles, 0, &plan.w(), w, at);
        }
    }
}

/// Sums of an element of the window for some output channels.
pub(super) struct Multiply<'a, E> {
    pub(super) plan: &'a BackwardWeight,
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) weight: usize,
    /// Those of the element.
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
        let Multiply { plan, v, w, weight, sums, channels, words, first, .. } = self;
        let inputs = plan.input.channels;
        // SAFETY: `sums` are the element's.
        unsafe {
            let sums = sums.add(channels.start * inputs);
            plan.sums::<E, V, TILE>(v, w, weight, sums, channels, 0..inputs, inputs, words, first);
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
        let apart = Apart { elements: outputs.len() * row + BLOCK, parts: 0, count: 1 };
        assert!(sums.len() >= plan.form.weights() * apart.elements);
        for weight in 0..plan.form.weights() {
            let (outputs, inputs) = (outputs.clone(), inputs.clone());
            // SAFETY: `sums` holds those of every element.
            unsafe {
                let sums = sums.as_mut_ptr().add(weight * apart.elements);
                plan.sums::<E, V, TILE>(v, w, weight, sums, outputs, inputs, row, words, true);
            }
        }
        for (i, out) in outputs.enumerate() {
            // SAFETY: each item has its own channels of `dw`, whose length `run` has checked.
            unsafe {
                let sums = sums.as_ptr().add(i * row);
                let dw = dw.add(out * 9 * channels + inputs.start);
                plan.form.unpack_row::<V>(sums, apart, row, dw, channels);
            }
        }
    }
}

impl BackwardWeight {
    /// Sums of an element of the window: `[outputs][row]`, of which a row's start is `inputs`.
    ///
    /// # Safety
    /// `sums` must have room.
    #[inline(always)]
    unsafe fn sums<E: Element, V: Vector, const TILE: usize>(
        &self,
        v: &[f32],
        w: &[f32],
        weight: usize,
        sums: *mut f32,
        outputs: Range<usize>,
        inputs: Range<usize>,
        row: usize,
        words: usize,
        first: bool,
    ) {
        let (v_planes, w_planes) = (self.v(), self.w());
        for (i, element) in self.form.sharing(weight).enumerate() {
            let (v, w) = (&v[element * v_planes.stride()..], &w[element * w_planes.stride()..]);
            let sides = Sides { v, w, v_planes, w_planes, words };
            let (outputs, inputs) = (outputs.clone(), inputs.clone());
            // SAFETY: the caller's contract.
            unsafe { sides.multiply::<E, V, TILE>(sums, outputs, inputs, row, first && i == 0) };
        }
    }
}
