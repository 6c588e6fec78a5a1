//! Forward, and the gradient of the input, which is the same over turned weights.

mod items;

use items::{Job, Panel, Transform, Whole};

use super::{
    form::Form,
    product::fixed,
    tiles::{BLOCK, Grid, Planes},
    weights::{self, MOST_LINES, Packed, Plain},
};
use crate::{
    conv::{epilogue::Finish, operands::Read},
    cpu::Cpu,
    element::Element,
    pool::Parts,
};

/// Elements of a tile.
const ELEMENTS: usize = Form::Plain.elements();
/// Words of a thread's planes aimed at, and at most, where fewer tiles are not worth their weights: a
/// part of a usual L2 cache, and one with a little of the next.
const PLANES: usize = 150 * 1024;
const MOST_PLANES: usize = 300 * 1024;
/// Tiles of a shared block, at most.
const SHARED: usize = 128;
/// Words of the depth whose weights are transformed on the way to a product, of words of one value.
const FRESH: usize = 64;

/// One direction of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forward {
    /// The input: as many pixels as the output.
    pub(super) input: Grid,
    pub(super) output: Grid,
    pub(super) packed: Packed,
    /// All threads share transformed tiles and split the outputs, since the weights outweigh the
    /// tiles; otherwise a thread takes all outputs of some tiles.
    pub(super) shared: bool,
    /// Weights are transformed on their way to the products: transformed weights outweigh plain
    /// ones by four, and where tiles are few that is most of the traffic.
    pub(super) fresh: bool,
    /// Words of the depth whose weights are transformed at once, if so.
    pub(super) chunk: usize,
    /// Tiles of a block.
    pub(super) tiles: usize,
}

impl Forward {
    /// For up to `batch` images of these stored channels, in elements of `E`.
    pub(super) fn new<E: Element>(
        input: Grid,
        outputs: usize,
        batch: usize,
        tile: usize,
        train: bool,
    ) -> Self {
        let packed = Packed { outputs, depth: input.channels / E::PACK };
        let all = batch * input.tiles();
        let line = ELEMENTS * (packed.depth + outputs);
        let mut tiles = (PLANES / line / tile * tile).max(32.min(MOST_PLANES / line));
        let shared = tiles < 32;
        if shared {
            tiles = SHARED;
        }
        let fresh = train && shared && all <= tiles;
        let tiles = tiles.min(all).next_multiple_of(tile);
        let output = Grid { channels: outputs, ..input };
        let chunk = packed.depth.min(FRESH * E::PACK);
        Forward { input, output, packed, shared, fresh, chunk, tiles }
    }

    fn v(&self) -> Planes {
        Planes { blocks: self.packed.depth / BLOCK, tiles: self.tiles }
    }

    /// Of all outputs, or of a panel of them.
    fn m(&self, outputs: usize) -> Planes {
        Planes { blocks: outputs.div_ceil(BLOCK), tiles: self.tiles }
    }

    /// Words of transformed tiles, and of what those are worth.
    fn v_len(&self) -> usize {
        self.v().len(ELEMENTS) + self.tiles
    }

    /// Words of the planes: shared input, and each thread's own.
    fn scratch(&self, cpu: &Cpu) -> (usize, usize) {
        let (v, panel) = (self.v_len(), 2 * cpu.isa().lanes());
        if self.shared {
            let turned = 9 * self.input.channels * panel;
            let u = self.fresh_stride(panel) * 6 * MOST_LINES;
            let fresh = u + ELEMENTS * panel + turned;
            let m = self.m(panel).len(ELEMENTS);
            let (inputs, outputs) = (self.input.channels, self.output.channels);
            let balance = inputs + weights::sums_len(inputs.max(outputs), inputs.max(outputs));
            if self.fresh { (v + balance, m + fresh) } else { (v, m) }
        } else {
            (0, v + self.m(self.output.channels).len(ELEMENTS))
        }
    }

    /// Words from one element of fresh weights of so many outputs to the next.
    fn fresh_stride(&self, outputs: usize) -> usize {
        self.chunk * outputs + BLOCK
    }

    /// Words of packed weights.
    pub(super) fn packed_len(&self) -> usize {
        if self.fresh { 0 } else { self.packed.len(ELEMENTS) }
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let (shared, own) = self.scratch(cpu);
        shared + cpu.threads() * own
    }

    pub(super) fn run<X: Element, E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, X>,
        weights: Operand<'_>,
        y: &mut [E],
        epilogue: Finish<'_, E>,
        scratch: &mut [f32],
    ) {
        let all = batch * self.input.tiles();
        x.check(self.input.channels);
        assert!(x.values.len() >= batch * self.input.image_len(), "input too short");
        let y = &mut y[..batch * self.output.image_len()];
        assert!(epilogue.residual.is_none_or(|r| r.len() >= y.len()));
        assert!(epilogue.bias.is_none_or(|b| b.len() >= self.output.channels));
        match weights {
            Operand::Packed(packed) => assert!(packed.len() >= self.packed.len(ELEMENTS)),
            Operand::Plain(_) => assert!(self.fresh),
        }
        let y = Parts::new(y, 0);
        let (shared, own) = self.scratch(cpu);
        let (v_shared, own_scratch) = scratch.split_at_mut(shared);
        let own_scratch = Parts::new(own_scratch, own);
        let (v_shared, fresh) = v_shared.split_at_mut(shared.min(self.v_len()));
        let balance = match weights {
            Operand::Packed(packed) => &packed[self.packed.balance(ELEMENTS)..],
            Operand::Plain(plain) => {
                if fixed::<X>() {
                    let (to, sums) = fresh.split_at_mut(self.input.channels);
                    weights::balance(cpu, plain, to, sums);
                }
                &*fresh
            }
        };
        let job = Job { plan: self, x, weights, balance, y: &y, epilogue: &epilogue };
        if !self.shared {
            let v_len = self.v_len();
            cpu.pool().run(all.div_ceil(self.tiles), &|thread, item| {
                // SAFETY: each thread takes its own part.
                let (v, m) = unsafe { own_scratch.get(thread) }.split_at_mut(v_len);
                let tiles = item * self.tiles..((item + 1) * self.tiles).min(all);
                cpu.isa().dispatch(Whole { job, tiles, v, m });
            });
            return;
        }
        let panel = 2 * cpu.isa().lanes();
        for first in (0..all).step_by(self.tiles) {
            let tiles = first..(first + self.tiles).min(all);
            let v = Parts::new(v_shared, 0);
            let step = tiles.len().div_ceil(4 * cpu.threads()).max(2);
            cpu.pool().run(tiles.len().div_ceil(step), &|_, item| {
                let part = item * step..((item + 1) * step).min(tiles.len());
                let (tiles, v) = (first + part.start..first + part.end, v.as_mut_ptr());
                cpu.isa().dispatch(Transform { job, tiles, v, first: part.start });
            });
            let v = &*v_shared;
            cpu.pool().run(self.output.channels.div_ceil(panel), &|thread, item| {
                // SAFETY: each thread takes its own part.
                let m = unsafe { own_scratch.get(thread) };
                let channel = item * panel;
                let channels = channel..(channel + panel).min(self.output.channels);
                cpu.isa().dispatch(Panel { job, tiles: tiles.clone(), v, m, channels });
            });
        }
    }
}

/// The right side of the products.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand<'a> {
    Packed(&'a [f32]),
    Plain(Plain<'a>),
}
