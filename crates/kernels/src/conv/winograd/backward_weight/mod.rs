//! The gradient of the weights: for each element of the window, matrix products over the tiles of
//! all elements that meet it.

mod items;
mod plan;

use std::{marker::PhantomData, ops::Range};

pub(super) use plan::BackwardWeight;

use items::{Block, Measure, Multiply, Scales, Square, Transform};
use plan::{OUTPUTS, PART, SQUARE, power_of_two};

use super::{
    planes::GROUP,
    product::fixed,
    weights::{self, Apart},
};
use crate::{conv::operands::Read, cpu::Cpu, element::Element, parts::Parts};

impl BackwardWeight {
    pub(in crate::conv::winograd) fn run<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, E>,
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let all = batch * self.input.tiles();
        x.check(self.input.channels);
        assert_eq!(dw.len(), 9 * self.input.channels * self.output.channels);
        let words = all.div_ceil(E::PACK);
        let parts = power_of_two(self.parts.min(words / PART));
        let alone = alone(parts, cpu.threads());
        let planes = if alone { cpu.threads() } else { 1 };
        let (planes, rest) = scratch.split_at_mut(planes * self.planes_len());
        let channels = (self.input.channels, self.output.channels);
        if parts == 1 && self.one_block(all) {
            let block = self.transform(cpu, x, dy, 0..all, planes);
            let (rows, columns) = (channels.1.div_ceil(SQUARE.0), channels.0.div_ceil(SQUARE.1));
            let (dw, each) = (Parts::new(dw, 0), self.square_len());
            cpu.pool().run_scratch(rows * columns, (), (rest, each), |item, (), sums| {
                let (out, input) = (item / columns * SQUARE.0, item % columns * SQUARE.1);
                cpu.isa().dispatch(Square::<E> {
                    plan: self,
                    block,
                    sums,
                    outputs: out..(out + SQUARE.0).min(channels.1),
                    inputs: input..(input + SQUARE.1).min(channels.0),
                    words,
                    dw: dw.as_mut_ptr(),
                    element: PhantomData,
                });
            });
            return;
        }
        let sums = &mut rest[..parts * self.sums_len()];
        // The blocks of a part, in words.
        let blocks = |part: usize| {
            let (start, end) = (part * words / parts, (part + 1) * words / parts);
            (start..end)
                .step_by(self.words)
                .map(move |first| (first..(first + self.words).min(end), first == start))
        };
        let tiles = |words: &Range<usize>| words.start * E::PACK..(words.end * E::PACK).min(all);
        let weights = self.form.weights();
        if alone {
            let (each, sums) = (self.planes_len(), Parts::new(&mut *sums, self.sums_len()));
            cpu.pool().run_scratch(parts, sums, (planes, each), |part, sums, planes| {
                for (words, first) in blocks(part) {
                    let tiles = tiles(&words);
                    let (v, w, scales) = self.split(planes);
                    for group in 0..self.groups::<E>() {
                        self.measure(cpu, x, dy, tiles.clone(), group, scales.as_mut_ptr());
                    }
                    let scales = self.scales(scales);
                    let (v_at, w_at) = (v.as_mut_ptr(), w.as_mut_ptr());
                    cpu.isa().dispatch(Transform {
                        plan: self,
                        x,
                        dy,
                        scales,
                        tiles,
                        v: v_at,
                        w: w_at,
                        at: 0,
                    });
                    let block = Block { v, w, scales };
                    for weight in 0..weights {
                        let (outputs, sums) = (0..channels.1, sums.as_mut_ptr());
                        self.multiply::<E>(cpu, weight, outputs, block, sums, words.len(), first);
                    }
                }
            });
        } else {
            for (part, sums) in sums.chunks_exact_mut(self.sums_len()).enumerate() {
                let sums = Parts::new(sums, 0);
                for (words, first) in blocks(part) {
                    let block = self.transform(cpu, x, dy, tiles(&words), planes);
                    let groups = channels.1.div_ceil(OUTPUTS);
                    cpu.pool().run(weights * groups, &|_, item| {
                        // Those that most elements meet, which take the longest, come first.
                        let (weight, group) = (weights - 1 - item / groups, item % groups);
                        let outputs = group * OUTPUTS..((group + 1) * OUTPUTS).min(channels.1);
                        let sums = sums.as_mut_ptr();
                        self.multiply::<E>(cpu, weight, outputs, block, sums, words.len(), first);
                    });
                }
            }
        }
        let apart = Apart { elements: self.stride(), parts: self.sums_len(), count: parts };
        weights::unpack::<E>(cpu, self.form, sums, apart, channels, dw);
    }

    /// The planes of both sides, and scales.
    fn split<'a>(&self, planes: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32], &'a mut [f32]) {
        let (v, rest) = planes.split_at_mut(self.v().len(self.form.elements()));
        let (w, scales) = rest.split_at_mut(self.w().len(self.form.elements()));
        (v, w, scales)
    }

    fn scales<'a>(&self, scales: &'a [f32]) -> Scales<'a> {
        let [v_times, w_times, v_units, w_units] = self.scales_at().map(|at| &scales[at..]);
        Scales { v_times, w_times, v_units, w_units }
    }

    /// Groups of channels of both sides that have scales: none in f32.
    fn groups<E: Element>(&self) -> usize {
        let groups = self.input.channels.div_ceil(GROUP) + self.output.channels.div_ceil(GROUP);
        if fixed::<E>() { groups } else { 0 }
    }

    /// Scales of a group of channels and a block of tiles.
    fn measure<E: Element>(
        &self,
        cpu: &Cpu,
        x: Read<'_, E>,
        dy: &[E],
        tiles: Range<usize>,
        group: usize,
        scales: *mut f32,
    ) {
        cpu.isa().dispatch(Measure { plan: self, x, dy, tiles, group, scales });
    }

    /// Sums of an element of the window and a part, for some output channels that nobody else has.
    fn multiply<E: Element>(
        &self,
        cpu: &Cpu,
        weight: usize,
        channels: Range<usize>,
        block: Block<'_>,
        sums: *mut f32,
        words: usize,
        first: bool,
    ) {
        cpu.isa().dispatch(Multiply::<E> {
            plan: self,
            block,
            weight,
            sums: sums.wrapping_add(weight * self.stride()),
            channels,
            words,
            first,
            element: PhantomData,
        });
    }

    /// Planes of both sides, of a block of tiles.
    fn transform<'a, E: Element>(
        &self,
        cpu: &Cpu,
        x: Read<'_, E>,
        dy: &[E],
        tiles: Range<usize>,
        planes: &'a mut [f32],
    ) -> Block<'a> {
        let (v, w, scales) = self.split(planes);
        let to = Parts::new(scales, 0);
        cpu.pool().run(self.groups::<E>(), &|_, group| {
            self.measure(cpu, x, dy, tiles.clone(), group, to.as_mut_ptr());
        });
        let scales = self.scales(scales);
        let words = tiles.len().div_ceil(E::PACK);
        let part = words.div_ceil(8 * cpu.threads()).max(2);
        let (to_v, to_w) = (Parts::new(v, 0), Parts::new(w, 0));
        cpu.pool().run(words.div_ceil(part), &|_, item| {
            let words = item * part..((item + 1) * part).min(words);
            let end = (tiles.start + words.end * E::PACK).min(tiles.end);
            let tiles = tiles.start + words.start * E::PACK..end;
            let (v, w) = (to_v.as_mut_ptr(), to_w.as_mut_ptr());
            cpu.isa().dispatch(Transform {
                plan: self,
                x,
                dy,
                scales,
                tiles,
                v,
                w,
                at: words.start,
            });
        });
        Block { v, w, scales }
    }
}

/// Whether each thread takes whole parts: if none would long wait for the others.
fn alone(parts: usize, threads: usize) -> bool {
    parts.is_multiple_of(threads) || parts >= 4 * threads
}
