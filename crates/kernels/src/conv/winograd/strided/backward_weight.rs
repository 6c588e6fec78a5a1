//! The gradient of the weights: for each plane of weights, matrix products over the tiles of all
//! elements that share it.

use std::{marker::PhantomData, ops::Range};

use super::{
    ELEMENTS, TWO, WEIGHTS, sharing,
    transform::{Input, N, OutputAdjoint, WeightAdjoint},
};
use crate::{
    conv::{
        Activation,
        winograd::{
            multiply::Sides,
            tiles::{BLOCK, Grid, Planes, gradient_planes},
            weights,
        },
    },
    cpu::Cpu,
    element::Element,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// Words of the shared planes of a block aimed at.
const PLANES: usize = 2 << 20;
/// Output channels of an item.
const GROUP: usize = 64;
/// Output and input channels of an item that holds all planes of weights: their sums are half of a
/// usual L2 cache.
const SQUARE: (usize, usize) = (16, 256);

/// The blocks of tiles of a shape. An item of work is a plane of weights and a group of output
/// channels, whose sums run over all tiles in order: no number of threads changes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackwardWeight {
    input: Grid,
    output: Grid,
    /// Tiles of the largest batch.
    all: usize,
    /// Tiles of a block.
    tiles: usize,
}

impl BackwardWeight {
    pub(super) fn new(input: Grid, output: Grid, batch: usize) -> Self {
        let all = batch * input.tiles();
        let tiles = PLANES / (ELEMENTS * (input.channels + output.channels));
        let tiles = tiles.clamp(64, 256).next_multiple_of(16).min(all);
        BackwardWeight { input, output, all, tiles }
    }

    fn v(&self) -> Planes {
        Planes { blocks: self.input.channels / BLOCK, tiles: self.tiles }
    }

    fn w(&self) -> Planes {
        Planes { blocks: self.output.channels / BLOCK, tiles: self.tiles }
    }

    /// Words of a plane's sums.
    fn stride(&self) -> usize {
        self.input.channels * self.output.channels + BLOCK
    }

    /// Words of the sums of an item that holds all planes.
    fn square_len(&self) -> usize {
        WEIGHTS * (SQUARE.0 * SQUARE.1 + BLOCK)
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        // A batch of one block keeps its sums in the cache.
        let sums = if self.all <= self.tiles { 0 } else { WEIGHTS * self.stride() };
        let sums = sums.max(cpu.threads() * self.square_len());
        self.v().len(ELEMENTS) + self.w().len(ELEMENTS) + sums
    }

    pub(super) fn run<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Activation<'_, X>,
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let all = batch * self.input.tiles();
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        x.check(inputs);
        assert_eq!(dw.len(), 9 * inputs * outputs);
        let (v, rest) = scratch.split_at_mut(self.v().len(ELEMENTS));
        let (w, rest) = rest.split_at_mut(self.w().len(ELEMENTS));
        if all <= self.tiles {
            self.transform(cpu, x, dy, 0..all, v, w);
            let columns = inputs.div_ceil(SQUARE.1);
            let sums = Parts::new(rest, self.square_len());
            let dw = Parts::new(dw, 0);
            let (v, w) = (&*v, &*w);
            cpu.pool().run(outputs.div_ceil(SQUARE.0) * columns, &|thread, item| {
                let (out, input) = (item / columns * SQUARE.0, item % columns * SQUARE.1);
                cpu.isa().dispatch(Square::<E> {
                    plan: self,
                    v,
                    w,
                    // SAFETY: each thread takes its own part.
                    sums: unsafe { sums.get(thread) },
                    outputs: out..(out + SQUARE.0).min(outputs),
                    inputs: input..(input + SQUARE.1).min(inputs),
                    tiles: all,
                    dw: dw.as_mut_ptr(),
                    element: PhantomData,
                });
            });
            return;
        }
        let sums = &mut rest[..WEIGHTS * self.stride()];
        for first in (0..all).step_by(self.tiles) {
            let tiles = first..(first + self.tiles).min(all);
            self.transform(cpu, x, dy, tiles.clone(), v, w);
            let groups = outputs.div_ceil(GROUP);
            let out = Parts::new(&mut *sums, 0);
            let (v, w) = (&*v, &*w);
            cpu.pool().run(WEIGHTS * groups, &|_, item| {
                // The planes that most elements share, which take the longest, come first.
                let (weight, group) = (WEIGHTS - 1 - item / groups, item % groups);
                cpu.isa().dispatch(Multiply::<E> {
                    plan: self,
                    v,
                    w,
                    weight,
                    // SAFETY: in bounds; each item has its own rows.
                    sums: unsafe { out.as_mut_ptr().add(weight * self.stride()) },
                    channels: group * GROUP..((group + 1) * GROUP).min(outputs),
                    tiles: tiles.len(),
                    first: first == 0,
                    element: PhantomData,
                });
            });
        }
        let sums = weights::Sums { values: sums, stride: self.stride(), parts: 1 };
        weights::unpack::<E>(cpu, sums, (inputs, outputs), 2, dw);
    }

    /// Planes of both sides, of a block of tiles.
    fn transform<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        x: Activation<'_, X>,
        dy: &[E],
        tiles: Range<usize>,
        v: &mut [f32],
        w: &mut [f32],
    ) {
        let part = tiles.len().div_ceil(8 * cpu.threads()).max(2);
        let (v, w) = (Parts::new(v, 0), Parts::new(w, 0));
        cpu.pool().run(tiles.len().div_ceil(part), &|_, item| {
            let at = item * part;
            let tiles = tiles.start + at..(tiles.start + at + part).min(tiles.end);
            let (v, w) = (v.as_mut_ptr(), w.as_mut_ptr());
            cpu.isa().dispatch(Transform { plan: self, x, dy, tiles, v, w, at });
        });
    }
}

/// Transforms some tiles of both sides.
struct Transform<'a, X, E> {
    plan: &'a BackwardWeight,
    x: Activation<'a, X>,
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
        let Transform { plan, x, dy, tiles, v, w, at } = self;
        let (planes_v, planes_w) = (plan.v(), plan.w());
        // SAFETY: the scratch holds the planes; each item has its own tiles.
        unsafe {
            let of_x = tiles.clone();
            gradient_planes::<Input, X, V, 9, N>(&plan.input, x, of_x, 1, &planes_v, v, at);
            gradient_planes::<OutputAdjoint, E, V, 4, N>(
                &plan.output,
                dy.into(),
                tiles,
                0,
                &planes_w,
                w,
                at,
            );
        }
    }
}

/// Sums of a plane of weights for some output channels.
struct Multiply<'a, E> {
    plan: &'a BackwardWeight,
    v: &'a [f32],
    w: &'a [f32],
    weight: usize,
    sums: *mut f32,
    channels: Range<usize>,
    tiles: usize,
    first: bool,
    element: PhantomData<E>,
}

impl<E: Element> Kernel for Multiply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Multiply { plan, v, w, weight, sums, channels, tiles, first, .. } = self;
        let inputs = plan.input.channels;
        // SAFETY: these are the planes, and sums of a plane of weights.
        unsafe {
            let sums = sums.add(channels.start * inputs);
            plan.sums::<E, V, TILE>(v, w, weight, sums, channels, 0..inputs, tiles, inputs, first);
        }
    }
}

/// Sums of all planes of weights for some channels of both sides, and from them the weights'
/// gradient.
struct Square<'a, E> {
    plan: &'a BackwardWeight,
    v: &'a [f32],
    w: &'a [f32],
    sums: &'a mut [f32],
    outputs: Range<usize>,
    inputs: Range<usize>,
    tiles: usize,
    dw: *mut f32,
    element: PhantomData<E>,
}

impl<E: Element> Kernel for Square<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Square { plan, v, w, sums, outputs, inputs, tiles, dw, .. } = self;
        let (row, channels) = (inputs.len(), plan.input.channels);
        let stride = outputs.len() * row + BLOCK;
        assert!(sums.len() >= WEIGHTS * stride);
        for weight in 0..WEIGHTS {
            let (outputs, inputs) = (outputs.clone(), inputs.clone());
            // SAFETY: `sums` holds the plane's.
            unsafe {
                let sums = sums.as_mut_ptr().add(weight * stride);
                plan.sums::<E, V, TILE>(v, w, weight, sums, outputs, inputs, tiles, row, true);
            }
        }
        for (i, out) in outputs.enumerate() {
            // SAFETY: each item has its own channels of `dw`, whose length `run` has checked.
            unsafe {
                let sums = sums.as_ptr().add(i * row);
                let dw = dw.add(out * 9 * channels + inputs.start);
                weights::unpack_row::<WeightAdjoint, V, 6>(sums, stride, (1, 0), row, dw, channels);
            }
        }
    }
}

impl BackwardWeight {
    /// Sums of a plane of weights: `[outputs][row]`, of which a row's start is `inputs`.
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
        tiles: usize,
        row: usize,
        first: bool,
    ) {
        let mut first = first;
        for i in sharing(weight / (TWO + 1)) {
            for j in sharing(weight % (TWO + 1)) {
                let e = i * N + j;
                let (v, w) = (&v[e * self.v().stride()..], &w[e * self.w().stride()..]);
                let (outputs, inputs) = (outputs.clone(), inputs.clone());
                let (v_planes, w_planes) = (self.v(), self.w());
                let sides = Sides { v, w, v_planes, w_planes, words: tiles };
                // SAFETY: the caller's contract.
                unsafe { sides.multiply::<E, V, TILE>(sums, outputs, inputs, row, first) };
                first = false;
            }
        }
    }
}
