//! The gradient of the weights: for each coefficient of the window, matrix products over the tiles of
//! all coefficients that meet it.

mod compare;
mod items;
mod plan;
mod recompute;
mod statistics;

use std::{marker::PhantomData, ops::Range};

use plan::{CHANNEL_BLOCK, OUTPUTS};

use compare::Int16Accuracy;
use items::{Block, ChannelBlock, Multiply, Transform};
use recompute::Flagged;
use statistics::{BlockStatistics, BothSides};

use super::{
    grid::Grid,
    quantise::is_int16,
    variant::Variant,
    weights::{self, Strides},
};
use crate::{chunks::DisjointChunks, conv::operands::TypedInput, cpu::Cpu, scalar::Scalar};

/// The gradient, and the one that takes its place where values do not do for integers.
#[derive(Debug)]
pub(super) struct BackwardWeight {
    pass: plan::BackwardWeightPlan,
    /// Over 32-bit floating point numbers.
    wide: Option<plan::BackwardWeightPlan>,
}

impl BackwardWeight {
    /// For up to `batch` images, whose tiles of input and output are numbered alike.
    pub(super) fn new<T: Scalar>(
        variant: Variant,
        input: Grid,
        output: Grid,
        batch: usize,
    ) -> Self {
        let wide = || plan::BackwardWeightPlan::new::<T::Wide>(variant, input, output, batch);
        BackwardWeight {
            pass: plan::BackwardWeightPlan::new::<T>(variant, input, output, batch),
            wide: is_int16::<T>().then(wide),
        }
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let len = self.pass.scratch_len(cpu);
        let Some(wide) = &self.wide else { return len };
        let records = self.pass.most_blocks() * self.pass.layout().len();
        (records + self.pass.compared_len() + len).max(wide.scratch_len(cpu))
    }

    pub(super) fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: TypedInput<'_, T>,
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let pass = &self.pass;
        let Some(wide) = &self.wide else {
            return pass.run(cpu, batch, x, dy, dw, &mut [], scratch);
        };
        let blocks = pass.blocks(batch * pass.input.tiles());
        let (records, rest) = scratch.split_at_mut(blocks.len() * pass.layout().len());
        let (compared, rest) = rest.split_at_mut(pass.compared_len());
        pass.run(cpu, batch, x, dy, dw, records, rest);
        let both = pass.both(batch, x, dy);
        match pass.compare(cpu, both, blocks, records, compared) {
            Int16Accuracy::AllPairs => {}
            Int16Accuracy::MostPairs => {
                pass.recompute(cpu, x, dy, Flagged { flags: compared, blocks, records }, dw)
            }
            Int16Accuracy::FewPairs => {
                wide.run(cpu, batch, x.widen(), T::widen(dy), dw, &mut [], scratch)
            }
        }
    }
}

impl plan::BackwardWeightPlan {
    /// With a record for each block, where values are integers.
    fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: TypedInput<'_, T>,
        dy: &[T],
        dw: &mut [f32],
        records: &mut [f32],
        scratch: &mut [f32],
    ) {
        let all = batch * self.input.tiles();
        x.check(self.input.channels);
        assert_eq!(dw.len(), 9 * self.input.channels * self.output.channels);
        let (blocks, both) = (self.blocks(all), self.both(batch, x, dy));
        let parts = blocks.parts;
        let alone = alone(parts, cpu.threads());
        let planes = if alone { cpu.threads() } else { 1 };
        let (planes, rest) = scratch.split_at_mut(planes * self.planes_len());
        let channels = (self.input.channels, self.output.channels);
        let record_len = if is_int16::<T>() { self.layout().len() } else { 0 };
        if parts == 1 && self.one_block(all) {
            let block = self.transform(cpu, both, 0..all, records, planes);
            let words = blocks.words(0).len();
            let (rows, columns) =
                (channels.1.div_ceil(CHANNEL_BLOCK.0), channels.0.div_ceil(CHANNEL_BLOCK.1));
            let (dw, each) = (DisjointChunks::new(dw, 0), self.channel_block_len());
            cpu.pool().run_scratch(rows * columns, (), (rest, each), |item, (), sums| {
                let (out, input) =
                    (item / columns * CHANNEL_BLOCK.0, item % columns * CHANNEL_BLOCK.1);
                cpu.isa().dispatch(ChannelBlock::<T> {
                    plan: self,
                    block,
                    sums,
                    outputs: out..(out + CHANNEL_BLOCK.0).min(channels.1),
                    inputs: input..(input + CHANNEL_BLOCK.1).min(channels.0),
                    words,
                    dw: dw.as_mut_ptr(),
                    scalar: PhantomData,
                });
            });
            return;
        }
        let sums = &mut rest[..parts * self.sums_len()];
        let weights = self.variant.weight_coefficients();
        if alone {
            let each = self.planes_len();
            let sums = DisjointChunks::new(&mut *sums, self.sums_len());
            let parts_of = (sums, DisjointChunks::new(records, blocks.each * record_len));
            cpu.pool().run_scratch(
                parts,
                parts_of,
                (planes, each),
                |part, (sums, records), own| {
                    let mut records = records;
                    for number in blocks.of(part) {
                        let (words, first) = (blocks.words(number).len(), blocks.is_first(number));
                        let tiles = blocks.tiles(number);
                        let record;
                        (record, records) = records.split_at_mut(record_len);
                        let mut statistics = BlockStatistics::NONE;
                        if is_int16::<T>() {
                            self.measure_alone(cpu, both, tiles.clone(), record);
                            statistics = self.layout().of(record);
                        }
                        let (v, w) = self.split(own);
                        let (v_at, w_at) = (v.as_mut_ptr(), w.as_mut_ptr());
                        cpu.isa().dispatch(Transform {
                            plan: self,
                            x,
                            dy,
                            statistics,
                            band: self.bands(&tiles).start,
                            tiles,
                            v: v_at,
                            w: w_at,
                            at: 0,
                        });
                        let block = Block { v, w, statistics };
                        for weight in 0..weights {
                            let (outputs, sums) = (0..channels.1, sums.as_mut_ptr());
                            self.multiply::<T>(cpu, weight, outputs, block, sums, words, first);
                        }
                    }
                },
            );
        } else {
            for (part, sums) in sums.chunks_exact_mut(self.sums_len()).enumerate() {
                let sums = DisjointChunks::new(sums, 0);
                for number in blocks.of(part) {
                    let (words, first) = (blocks.words(number).len(), blocks.is_first(number));
                    let record = &mut records[number * record_len..][..record_len];
                    let block = self.transform(cpu, both, blocks.tiles(number), record, planes);
                    let groups = channels.1.div_ceil(OUTPUTS);
                    cpu.pool().run(weights * groups, &|_, item| {
                        // Those that most coefficients meet, which take the longest, come first.
                        let (weight, group) = (weights - 1 - item / groups, item % groups);
                        let outputs = group * OUTPUTS..((group + 1) * OUTPUTS).min(channels.1);
                        let sums = sums.as_mut_ptr();
                        self.multiply::<T>(cpu, weight, outputs, block, sums, words, first);
                    });
                }
            }
        }
        let strides = Strides { coefficients: self.stride(), parts: self.sums_len(), count: parts };
        weights::unpack::<T>(cpu, self.variant, sums, strides, channels, dw);
    }

    /// The planes of both sides.
    fn split<'a>(&self, planes: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        planes.split_at_mut(self.v().len(self.variant.tile_coefficients()))
    }

    /// Sums of a coefficient of the window and a part, for some output channels that nobody else has.
    fn multiply<T: Scalar>(
        &self,
        cpu: &Cpu,
        weight: usize,
        channels: Range<usize>,
        block: Block<'_>,
        sums: *mut f32,
        words: usize,
        first: bool,
    ) {
        cpu.isa().dispatch(Multiply::<T> {
            plan: self,
            block,
            weight,
            sums: sums.wrapping_add(weight * self.stride()),
            channels,
            words,
            first,
            scalar: PhantomData,
        });
    }

    /// Planes of both sides, of a block of tiles, and its record where values are integers.
    fn transform<'a, T: Scalar>(
        &self,
        cpu: &Cpu,
        both: BothSides<'_, T>,
        tiles: Range<usize>,
        record: &'a mut [f32],
        planes: &'a mut [f32],
    ) -> Block<'a> {
        let (v, w) = self.split(planes);
        let mut statistics = BlockStatistics::NONE;
        if is_int16::<T>() {
            self.measure(cpu, both, tiles.clone(), record);
            statistics = self.layout().of(record);
        }
        let (band, BothSides { x, dy }) = (self.bands(&tiles).start, both);
        let words = tiles.len().div_ceil(T::PACK);
        let part = words.div_ceil(8 * cpu.threads()).max(2);
        let (to_v, to_w) = (DisjointChunks::new(v, 0), DisjointChunks::new(w, 0));
        cpu.pool().run(words.div_ceil(part), &|_, item| {
            let words = item * part..((item + 1) * part).min(words);
            let end = (tiles.start + words.end * T::PACK).min(tiles.end);
            let tiles = tiles.start + words.start * T::PACK..end;
            let (v, w) = (to_v.as_mut_ptr(), to_w.as_mut_ptr());
            cpu.isa().dispatch(Transform {
                plan: self,
                x: x.read,
                dy: dy.read.values,
                statistics,
                band,
                tiles,
                v,
                w,
                at: words.start,
            });
        });
        Block { v, w, statistics }
    }
}

/// Whether each thread takes whole parts: if none would long wait for the others.
fn alone(parts: usize, threads: usize) -> bool {
    parts.is_multiple_of(threads) || parts >= 4 * threads
}
