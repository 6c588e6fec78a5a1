//! The gradient of the weights: for each element, a matrix product over tiles.

use std::ops::Range;

use super::{
    multiply,
    tiles::{BLOCK, Grid, Planes, gradient_planes},
    transform::{Input, OutputAdjoint},
    weights,
};
use crate::{
    cpu::Cpu,
    element::Element,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// Words of the shared planes of a block aimed at.
const PLANES: usize = 1 << 20;
/// Output channels of an item.
const GROUP: usize = 128;

/// The blocks of tiles of a shape. An item of work is an element and a group of output channels,
/// whose sums run over all tiles in order: no number of threads changes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackwardWeight {
    input: Grid,
    output: Grid,
    /// Words of tiles of a block.
    words: usize,
}

impl BackwardWeight {
    pub(super) fn new<E: Element>(input: Grid, outputs: usize, batch: usize) -> Self {
        let output = Grid { channels: outputs, ..input };
        let elements = (input.side + 2) * (input.side + 2);
        let all = (batch * input.tiles()).div_ceil(E::PACK);
        let words = PLANES / (elements * (input.channels + outputs));
        let words = words.clamp(128, 256).next_multiple_of(16);
        BackwardWeight { input, output, words: words.min(all) }
    }

    fn elements(&self) -> usize {
        (self.input.side + 2) * (self.input.side + 2)
    }

    fn v(&self) -> Planes {
        Planes { blocks: self.input.channels / BLOCK, tiles: self.words }
    }

    fn w(&self) -> Planes {
        Planes { blocks: self.output.channels / BLOCK, tiles: self.words }
    }

    /// Words of an element's sums.
    fn stride(&self) -> usize {
        self.input.channels * self.output.channels + BLOCK
    }

    pub(super) fn scratch_len(&self) -> usize {
        let e = self.elements();
        self.v().len(e) + self.w().len(e) + e * self.stride()
    }

    pub(super) fn run<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[X],
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let all = batch * self.input.tiles();
        let e = self.elements();
        let (v, rest) = scratch.split_at_mut(self.v().len(e));
        let (w, rest) = rest.split_at_mut(self.w().len(e));
        let sums = &mut rest[..e * self.stride()];
        let step = self.words * E::PACK;
        for first in (0..all).step_by(step) {
            let tiles = first..(first + step).min(all);
            let words = tiles.len().div_ceil(E::PACK);
            let part = words.div_ceil(8 * cpu.threads()).max(2);
            let (v_out, w_out) = (Parts::new(&mut *v, 0), Parts::new(&mut *w, 0));
            cpu.pool().run(words.div_ceil(part), &|_, item| {
                let words = item * part..((item + 1) * part).min(words);
                let tiles =
                    first + words.start * E::PACK..(first + words.end * E::PACK).min(tiles.end);
                let (v, w) = (v_out.as_mut_ptr(), w_out.as_mut_ptr());
                let at = words.start;
                cpu.isa().dispatch(Transform { plan: self, x, dy, tiles, v, w, at });
            });
            let groups = self.output.channels.div_ceil(GROUP);
            let out = Parts::new(&mut *sums, 0);
            let (v, w) = (&*v, &*w);
            cpu.pool().run(e * groups, &|_, item| {
                let (element, group) = (item / groups, item % groups);
                let channels = group * GROUP..((group + 1) * GROUP).min(self.output.channels);
                cpu.isa().dispatch(Multiply::<E> {
                    plan: self,
                    v: &v[element * self.v().stride()..],
                    w: &w[element * self.w().stride()..],
                    // SAFETY: in bounds; each item has its own rows.
                    sums: unsafe { out.as_mut_ptr().add(element * self.stride()) },
                    channels,
                    words,
                    first: first == 0,
                    element: std::marker::PhantomData,
                });
            });
        }
        let channels = (self.input.channels, self.output.channels);
        weights::unpack::<E>(cpu, sums, self.stride(), channels, dw);
    }
}

/// Transforms some tiles of both sides.
struct Transform<'a, X, E> {
    plan: &'a BackwardWeight,
    x: &'a [X],
    dy: &'a [E],
    tiles: Range<usize>,
    v: *mut f32,
    w: *mut f32,
    /// Place of the first in the block.
    at: usize,
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
                self.dy,
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
struct Multiply<'a, E> {
    plan: &'a BackwardWeight,
    v: &'a [f32],
    w: &'a [f32],
    sums: *mut f32,
    channels: Range<usize>,
    words: usize,
    first: bool,
    element: std::marker::PhantomData<E>,
}

impl<E: Element> Kernel for Multiply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        // Tiles of outputs divide a block.
        if TILE == 8 {
            self.tiles::<V, 8>();
        } else {
            self.tiles::<V, 4>();
        }
    }
}

impl<E: Element> Multiply<'_, E> {
    #[inline(always)]
    fn tiles<V: Vector, const P: usize>(self) {
        let (inputs, wide) = (self.plan.input.channels, 2 * V::LANES);
        let (v_planes, w_planes) = (self.plan.v(), self.plan.w());
        let v_vector = if V::LANES == BLOCK { v_planes.tiles * BLOCK } else { V::LANES };
        assert!(self.v.len() >= v_planes.stride() && self.w.len() >= w_planes.stride());
        for channel in (0..inputs).step_by(wide) {
            for out in self.channels.clone().step_by(P) {
                // SAFETY: within the planes, and within the element's sums.
                unsafe {
                    let v = self.v.as_ptr().add(v_planes.at(channel / BLOCK, 0) + channel % BLOCK);
                    let w = self.w.as_ptr().add(w_planes.at(out / BLOCK, 0) + out % BLOCK);
                    let sums = self.sums.add(out * inputs + channel);
                    let (words, first) = (self.words, self.first);
                    if inputs - channel >= wide {
                        multiply::outer::<E, V, P, 2>(w, v, v_vector, words, sums, inputs, first);
                    } else {
                        multiply::outer::<E, V, P, 1>(w, v, v_vector, words, sums, inputs, first);
                    }
                }
            }
        }
    }
}
