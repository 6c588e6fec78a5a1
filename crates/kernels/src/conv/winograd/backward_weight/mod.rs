//! The gradient of the weights: for each element of the window, matrix products over the tiles of
//! all elements that meet it.

mod items;

use std::{marker::PhantomData, ops::Range};

use items::{Block, Measure, Multiply, Scales, Square, Transform};

use super::{
    form::Form,
    product::fixed,
    tiles::{BLOCK, GROUP, Grid, Planes},
    weights::{self, Apart},
};
use crate::{conv::operands::Read, cpu::Cpu, element::Element, pool::Parts};

/// Words of the planes of a block aimed at: those that threads share, and a thread's own, of words of
/// one value.
const SHARED_PLANES: usize = 1 << 20;
const PLANES: usize = 128 << 10;
/// Parts of a batch, at most, and words of all their sums.
const PARTS: usize = 16;
const SUMS: usize = 5 << 18;
/// Words of tiles of a part, at least.
const PART: usize = 64;
/// Output channels of an item.
const OUTPUTS: usize = 128;
/// Output and input channels of an item that holds all elements: their sums are half of a usual L2
/// cache.
const SQUARE: (usize, usize) = (16, 256);

/// The blocks of tiles of a shape.
///
/// The batch is cut into parts, as many as their sums may take memory, and these are added in order
/// at the end. A thread takes a whole part, so that nothing but weights leaves its caches: two cores
/// may be far from each other. Where parts are fewer than threads all work on one after the other,
/// and an item is an element of the window and a group of output channels. Sums run over a part's
/// tiles in order either way: no number of threads changes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackwardWeight {
    form: Form,
    input: Grid,
    output: Grid,
    /// Tiles of the largest batch.
    tiles: usize,
    /// Tiles in a word.
    pack: usize,
    /// Words of tiles of a block.
    words: usize,
    /// Parts of the largest batch.
    parts: usize,
}

impl BackwardWeight {
    /// For up to `batch` images, whose tiles of input and output are numbered alike.
    pub(super) fn new<E: Element>(form: Form, input: Grid, output: Grid, batch: usize) -> Self {
        let tiles = batch * input.tiles();
        let all = tiles.div_ceil(E::PACK);
        let sums = form.weights() * (input.channels * output.channels + BLOCK);
        let parts = power_of_two((SUMS / sums).min(PARTS).min(all / PART));
        let line = form.elements() * (input.channels + output.channels);
        let words = |planes: usize| planes / line;
        let words = if parts > 1 {
            words(PLANES * E::PACK).clamp(32, 128)
        } else {
            words(SHARED_PLANES).clamp(128, 256)
        };
        let words = words.next_multiple_of(16).min(all);
        BackwardWeight { form, input, output, tiles, pack: E::PACK, words, parts }
    }

    fn v(&self) -> Planes {
        Planes { blocks: self.input.channels / BLOCK, tiles: self.words }
    }

    fn w(&self) -> Planes {
        Planes { blocks: self.output.channels / BLOCK, tiles: self.words }
    }

    /// Words of the sums of an element of the window.
    fn stride(&self) -> usize {
        self.input.channels * self.output.channels + BLOCK
    }

    /// Whether a batch of so many tiles is one block, whose sums need not wait in memory.
    fn one_block(&self, tiles: usize) -> bool {
        tiles <= self.words * self.pack
    }

    /// Words of the sums of an item that holds all elements.
    fn square_len(&self) -> usize {
        self.form.weights() * (SQUARE.0 * SQUARE.1 + BLOCK)
    }

    /// Words of the sums of a part.
    fn sums_len(&self) -> usize {
        self.form.weights() * self.stride()
    }

    /// Words of the planes of both sides, and of their scales.
    fn planes_len(&self) -> usize {
        let channels = self.input.channels + self.output.channels;
        self.v().len(self.form.elements()) + self.w().len(self.form.elements()) + 2 * channels
    }

    /// Where scales start: what values of the input and the gradient are multiplied with, and what
    /// integers of each are worth.
    fn scales_at(&self) -> [usize; 4] {
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        [0, inputs, inputs + outputs, 2 * inputs + outputs]
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        // Smaller batches may have fewer parts.
        let planes = if self.parts > 1 { cpu.threads() } else { 1 };
        let whole = self.parts == 1 && self.one_block(self.tiles);
        let sums = if whole { 0 } else { self.parts * self.sums_len() };
        planes * self.planes_len() + sums.max(cpu.threads() * self.square_len())
    }

    pub(super) fn run<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, X>,
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
            let sums = Parts::new(rest, self.square_len());
            let dw = Parts::new(dw, 0);
            cpu.pool().run(rows * columns, &|thread, item| {
                let (out, input) = (item / columns * SQUARE.0, item % columns * SQUARE.1);
                cpu.isa().dispatch(Square::<E> {
                    plan: self,
                    block,
                    // SAFETY: each thread takes its own part.
                    sums: unsafe { sums.get(thread) },
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
            let (planes, sums) =
                (Parts::new(planes, self.planes_len()), Parts::new(&mut *sums, self.sums_len()));
            cpu.pool().run(parts, &|thread, part| {
                // SAFETY: each thread takes its own planes, each item its own sums.
                let (planes, sums) = unsafe { (planes.get(thread), sums.get(part)) };
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
    fn measure<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        x: Read<'_, X>,
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
    fn transform<'a, X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        x: Read<'_, X>,
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

/// The largest power of two up to `n`, at least 1: such parts suit most numbers of threads.
fn power_of_two(n: usize) -> usize {
    1 << n.max(1).ilog2()
}

/// Whether each thread takes whole parts: if none would long wait for the others.
fn alone(parts: usize, threads: usize) -> bool {
    parts.is_multiple_of(threads) || parts >= 4 * threads
}
