//! The products of a gradient of the weights: which thread takes what.

use std::{marker::PhantomData, ops::Range};

use super::{
    items::{ChannelBlock, Multiply, TileBlock, Transform},
    plan::{BackwardWeightPlan, CHANNEL_BLOCK, OUTPUTS, TileBlocks},
    statistics::{BlockStatistics, BothSides, Threads},
};
use crate::{
    chunks::DisjointChunks,
    conv::{
        operands::TypedInput,
        winograd::{
            quantise::is_int16,
            weights::{self, Strides},
        },
    },
    cpu::Cpu,
    scalar::Scalar,
};

impl BackwardWeightPlan {
    /// Computes `dw`. Where coefficients are integers, `records` takes the statistics of each
    /// block.
    pub(super) fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: TypedInput<'_, T>,
        dy: &[T],
        dw: &mut [f32],
        records: &mut [f32],
        scratch: &mut [f32],
    ) {
        let tiles = batch * self.input.tiles();
        x.check(self.input.channels);
        assert_eq!(dw.len(), 9 * self.input.channels * self.output.channels);
        let (blocks, both) = (self.blocks(tiles), self.both(batch, x, dy));
        let parts = blocks.parts;
        let alone = alone(parts, cpu.threads());
        let planes = if alone { cpu.threads() } else { 1 };
        let (planes, rest) = scratch.split_at_mut(planes * self.planes_len());
        if parts == 1 && self.one_block(tiles) {
            self.run_one_block(cpu, both, tiles, dw, records, planes, rest);
            return;
        }
        let sums = &mut rest[..parts * self.sums_len()];
        if alone {
            self.run_parts_alone(cpu, both, blocks, sums, records, planes);
        } else {
            self.run_parts_together(cpu, both, blocks, sums, records, planes);
        }
        let strides = Strides { coefficients: self.stride(), parts: self.sums_len(), count: parts };
        let channels = (self.input.channels, self.output.channels);
        weights::unpack::<T>(cpu, self.variant, sums, strides, channels, dw);
    }

    /// One block of tiles: an item is a block of channels of both sides, whose sums of all
    /// coefficients are transformed back right after its products.
    fn run_one_block<T: Scalar>(
        &self,
        cpu: &Cpu,
        both: BothSides<'_, T>,
        tiles: usize,
        dw: &mut [f32],
        record: &mut [f32],
        planes: &mut [f32],
        scratch: &mut [f32],
    ) {
        let block = self.transform(cpu, Threads::All, both, 0..tiles, record, planes);
        let words = tiles.div_ceil(T::PACK);
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        let (high, wide) = CHANNEL_BLOCK;
        let (rows, columns) = (outputs.div_ceil(high), inputs.div_ceil(wide));
        let (dw, each) = (DisjointChunks::new(dw, 0), self.channel_block_len());
        cpu.pool().run_scratch(rows * columns, (), (scratch, each), |item, (), sums| {
            let (output, input) = (item / columns * high, item % columns * wide);
            cpu.isa().dispatch(ChannelBlock::<T> {
                plan: self,
                block,
                sums,
                outputs: output..(output + high).min(outputs),
                inputs: input..(input + wide).min(inputs),
                words,
                dw: dw.as_mut_ptr(),
                scalar: PhantomData,
            });
        });
    }

    /// An item is a part of the batch: a thread transforms and multiplies all its blocks.
    fn run_parts_alone<T: Scalar>(
        &self,
        cpu: &Cpu,
        both: BothSides<'_, T>,
        blocks: TileBlocks,
        sums: &mut [f32],
        records: &mut [f32],
        planes: &mut [f32],
    ) {
        let record_len = self.record_len::<T>();
        let sums = DisjointChunks::new(sums, self.sums_len());
        let chunks = (sums, DisjointChunks::new(records, blocks.each * record_len));
        let planes = (planes, self.planes_len());
        cpu.pool().run_scratch(blocks.parts, chunks, planes, |part, (sums, records), planes| {
            // LOOP 4: blocks of tiles.
            for (i, number) in blocks.of(part).enumerate() {
                let record = &mut records[i * record_len..][..record_len];
                let tiles = blocks.tiles(number);
                let block = self.transform(cpu, Threads::This, both, tiles, record, planes);
                let (words, first) = (blocks.words(number).len(), blocks.is_first(number));
                for weight in 0..self.variant.weight_coefficients() {
                    let outputs = 0..self.output.channels;
                    let sums = sums.as_mut_ptr();
                    self.multiply::<T>(cpu, weight, outputs, block, sums, words, first);
                }
            }
        });
    }

    /// Part after part: an item is a coefficient of the window and a group of output channels.
    fn run_parts_together<T: Scalar>(
        &self,
        cpu: &Cpu,
        both: BothSides<'_, T>,
        blocks: TileBlocks,
        sums: &mut [f32],
        records: &mut [f32],
        planes: &mut [f32],
    ) {
        let (record_len, weights) = (self.record_len::<T>(), self.variant.weight_coefficients());
        let groups = self.output.channels.div_ceil(OUTPUTS);
        for (part, sums) in sums.chunks_exact_mut(self.sums_len()).enumerate() {
            let sums = DisjointChunks::new(sums, 0);
            // LOOP 4: blocks of tiles.
            for number in blocks.of(part) {
                let (words, first) = (blocks.words(number).len(), blocks.is_first(number));
                let record = &mut records[number * record_len..][..record_len];
                let tiles = blocks.tiles(number);
                let block = self.transform(cpu, Threads::All, both, tiles, record, planes);
                cpu.pool().run(weights * groups, &|_, item| {
                    // The last weights meet the most coefficients of tiles: the longest items come
                    // first.
                    let (weight, group) = (weights - 1 - item / groups, item % groups);
                    let end = ((group + 1) * OUTPUTS).min(self.output.channels);
                    let (outputs, sums) = (group * OUTPUTS..end, sums.as_mut_ptr());
                    self.multiply::<T>(cpu, weight, outputs, block, sums, words, first);
                });
            }
        }
    }

    /// Words of the record of a block.
    fn record_len<T: Scalar>(&self) -> usize {
        if is_int16::<T>() { self.layout().len() } else { 0 }
    }

    /// Adds a block's products of one coefficient of the window to the sums of its part, for some
    /// output channels that no other item has.
    fn multiply<T: Scalar>(
        &self,
        cpu: &Cpu,
        weight: usize,
        channels: Range<usize>,
        block: TileBlock<'_>,
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

    /// Transforms a block of tiles to planes of both sides. Where coefficients are integers,
    /// measures the block first, into its record.
    fn transform<'a, T: Scalar>(
        &self,
        cpu: &Cpu,
        threads: Threads,
        both: BothSides<'_, T>,
        tiles: Range<usize>,
        record: &'a mut [f32],
        planes: &'a mut [f32],
    ) -> TileBlock<'a> {
        let (v, w) = planes.split_at_mut(self.v().len(self.variant.tile_coefficients()));
        let mut statistics = BlockStatistics::NONE;
        if is_int16::<T>() {
            self.measure(cpu, threads, both, tiles.clone(), record);
            statistics = self.layout().of(record);
        }
        let (to_v, to_w) = (DisjointChunks::new(v, 0), DisjointChunks::new(w, 0));
        let (x, dy, band) = (both.x.read, both.dy.read.values, self.bands(&tiles).start);
        let transform = |words: Range<usize>| {
            let end = (tiles.start + words.end * T::PACK).min(tiles.end);
            let (v, w) = (to_v.as_mut_ptr(), to_w.as_mut_ptr());
            let (tiles, at) = (tiles.start + words.start * T::PACK..end, words.start);
            let plan = self;
            cpu.isa().dispatch(Transform { plan, x, dy, statistics, band, tiles, v, w, at });
        };
        let words = tiles.len().div_ceil(T::PACK);
        match threads {
            Threads::This => transform(0..words),
            Threads::All => {
                let step = words.div_ceil(8 * cpu.threads()).max(2);
                cpu.pool().run(words.div_ceil(step), &|_, item| {
                    transform(item * step..((item + 1) * step).min(words));
                });
            }
        }
        TileBlock { v, w, statistics }
    }
}

/// Whether each thread takes whole parts: only where no thread waits long for the others.
fn alone(parts: usize, threads: usize) -> bool {
    parts.is_multiple_of(threads) || parts >= 4 * threads
}
