//! Statistics of a block of tiles: sums of squares, scales of bands, quantisation scales.

use std::ops::Range;

use super::plan::BackwardWeightPlan;
use crate::{
    chunks::DisjointChunks,
    conv::{
        operands::TypedInput,
        winograd::{
            quantise::{self, SumOfSquares, sum_of_lanes},
            sums_of_squares::Bands,
            variant::Variant,
        },
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// The layout of the record of a block, which holds its statistics.
#[derive(Clone, Copy)]
pub(super) struct RecordLayout {
    /// Bands of a block, at most.
    pub(super) bands: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// Statistics of a block of tiles, of the input (v) and of the gradient of the output (w).
#[derive(Clone, Copy)]
pub(super) struct BlockStatistics<'a> {
    /// Sums of squares of every channel: `[band][channel]`.
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
    /// Scales of the bands. Those of one side are the inverse of the other's. They give bands of
    /// large values and small gradients similar sizes on both sides.
    pub(super) v_band_scales: &'a [f32],
    pub(super) w_band_scales: &'a [f32],
    /// Quantisation and dequantisation scales of the channels,
    /// [deinterleaved](quantise::channel_at).
    pub(super) v_quant: &'a [f32],
    pub(super) w_quant: &'a [f32],
    pub(super) v_dequant: &'a [f32],
    pub(super) w_dequant: &'a [f32],
}

impl BlockStatistics<'_> {
    /// For values that are not quantised.
    pub(super) const NONE: BlockStatistics<'static> = BlockStatistics {
        v: &[],
        w: &[],
        v_band_scales: &[],
        w_band_scales: &[],
        v_quant: &[],
        w_quant: &[],
        v_dequant: &[],
        w_dequant: &[],
    };
}

impl RecordLayout {
    /// Words of the sums of squares.
    fn squares_len(self) -> usize {
        self.bands * (self.inputs + self.outputs)
    }

    /// Words of a record.
    pub(super) fn len(self) -> usize {
        self.squares_len() + 2 * self.bands + 2 * (self.inputs + self.outputs)
    }

    /// The sums of squares of a record, of both sides.
    pub(super) fn squares_mut(self, record: &mut [f32]) -> (&mut [f32], &mut [f32]) {
        record[..self.squares_len()].split_at_mut(self.bands * self.inputs)
    }

    /// The dequantisation scales of a record, of both sides.
    pub(super) fn dequant_mut(self, record: &mut [f32]) -> [&mut [f32]; 2] {
        let (_, dequant) = record.split_at_mut(self.len() - self.inputs - self.outputs);
        dequant.split_at_mut(self.inputs).into()
    }

    pub(super) fn of(self, record: &[f32]) -> BlockStatistics<'_> {
        let RecordLayout { bands, inputs, outputs } = self;
        let (v, rest) = record.split_at(bands * inputs);
        let (w, rest) = rest.split_at(bands * outputs);
        let (v_band_scales, rest) = rest.split_at(bands);
        let (w_band_scales, rest) = rest.split_at(bands);
        let (v_quant, rest) = rest.split_at(inputs);
        let (w_quant, rest) = rest.split_at(outputs);
        let (v_dequant, rest) = rest.split_at(inputs);
        let w_dequant = &rest[..outputs];
        BlockStatistics {
            v,
            w,
            v_band_scales,
            w_band_scales,
            v_quant,
            w_quant,
            v_dequant,
            w_dequant,
        }
    }
}

/// Which threads work on a block.
#[derive(Clone, Copy, Debug)]
pub(super) enum Threads {
    /// The one that calls.
    This,
    /// All of the pool.
    All,
}

/// Both sides of a call: the input, and the gradient of the output.
#[derive(Clone, Copy)]
pub(super) struct BothSides<'a, T> {
    pub(super) x: Bands<'a, T>,
    pub(super) dy: Bands<'a, T>,
}

impl BackwardWeightPlan {
    pub(super) fn both<'a, T: Scalar>(
        &'a self,
        batch: usize,
        x: TypedInput<'a, T>,
        dy: &'a [T],
    ) -> BothSides<'a, T> {
        let side = if self.variant == Variant::Strided { 9 } else { 6 };
        let x = Bands { grid: &self.input, read: x, images: batch, side, border: 1 };
        BothSides { x, dy: Bands::disjoint(&self.output, dy.into(), batch) }
    }

    pub(super) fn layout(&self) -> RecordLayout {
        let bands = self.most_tiles().div_ceil(self.input.columns()) + 1;
        RecordLayout { bands, inputs: self.input.channels, outputs: self.output.channels }
    }

    /// Consecutive bands that share a scale, so that both tiles of a word have the same.
    fn bands_per_scale(&self) -> usize {
        if self.input.columns().is_multiple_of(2) { 1 } else { 2 }
    }

    /// The bands that have some of a block's tiles.
    pub(super) fn bands(&self, tiles: &Range<usize>) -> Range<usize> {
        let columns = self.input.columns();
        tiles.start / columns..(tiles.end - 1) / columns + 1
    }

    /// Measures a block: its statistics go to its record.
    pub(super) fn measure<T: Scalar>(
        &self,
        cpu: &Cpu,
        threads: Threads,
        both: BothSides<'_, T>,
        tiles: Range<usize>,
        record: &mut [f32],
    ) {
        let (layout, bands) = (self.layout(), self.bands(&tiles));
        let (v, w) = layout.squares_mut(record);
        let squares = |band: usize, (v, w): (&mut [f32], &mut [f32])| {
            both.x.of_band(cpu, bands.start + band, v);
            both.dy.of_band(cpu, bands.start + band, w);
        };
        let (v_len, w_len) = (layout.inputs, layout.outputs);
        match threads {
            Threads::This => {
                let sums = v.chunks_exact_mut(v_len).zip(w.chunks_exact_mut(w_len));
                sums.take(bands.len()).enumerate().for_each(|(band, sums)| squares(band, sums));
            }
            Threads::All => {
                let sums = (DisjointChunks::new(v, v_len), DisjointChunks::new(w, w_len));
                cpu.pool().run_chunks(bands.len(), sums, squares);
            }
        }
        let bands_per_scale = self.bands_per_scale();
        cpu.isa().dispatch(ComputeScales { layout, bands, bands_per_scale, record });
    }
}

/// Computes the scales of a block from its sums of squares.
struct ComputeScales<'a> {
    layout: RecordLayout,
    bands: Range<usize>,
    /// Bands that share a scale.
    bands_per_scale: usize,
    record: &'a mut [f32],
}

impl Kernel for ComputeScales<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let ComputeScales { layout, bands, bands_per_scale, record } = self;
        let (first, bands) = (bands.start, bands.len());
        let RecordLayout { bands: most, inputs, outputs } = layout;
        let (squares, rest) = record.split_at_mut(layout.squares_len());
        let (v, w) = squares.split_at(most * inputs);
        let (v_band_scales, rest) = rest.split_at_mut(most);
        let (w_band_scales, rest) = rest.split_at_mut(most);
        let mut start = 0;
        while start < bands {
            let group =
                start..bands.min(start + bands_per_scale - (first + start) % bands_per_scale);
            let v = total::<V>(&v[group.start * inputs..group.end * inputs]);
            let w = total::<V>(&w[group.start * outputs..group.end * outputs]);
            // The fourth root of the ratio of sums of squares, so that both sides of the band come
            // out with the same norm.
            let share = w.sqrt().sqrt() / v.sqrt().sqrt();
            let usable = share > 0.0 && share.is_finite();
            let band_scales = if usable { (share, 1.0 / share) } else { (0.0, 0.0) };
            v_band_scales[group.clone()].fill(band_scales.0);
            w_band_scales[group.clone()].fill(band_scales.1);
            start = group.end;
        }
        let (quant, dequant) = rest.split_at_mut(inputs + outputs);
        let (v_quant, w_quant) = quant.split_at_mut(inputs);
        let (v_dequant, w_dequant) = dequant.split_at_mut(inputs);
        scales::<V>(v, &v_band_scales[..bands], quantise::INPUT_NORM, v_quant, v_dequant);
        scales::<V>(w, &w_band_scales[..bands], quantise::GRADIENT_NORM, w_quant, w_dequant);
    }
}

/// Quantisation and dequantisation scales of all channels of one side.
#[inline(always)]
fn scales<V: Vector>(
    band_squares: &[f32],
    band_scales: &[f32],
    limit: f32,
    quant: &mut [f32],
    dequant: &mut [f32],
) {
    let channels = quant.len();
    for channel in (0..channels).step_by(2 * V::LANES) {
        let mut sums = [SumOfSquares::<V>::zero(); 2];
        for (band, share) in band_squares.chunks_exact(channels).zip(band_scales) {
            let of = &band[channel..];
            let words = V::deinterleave(V::read(of), V::read(&of[V::LANES..]));
            for (sum, squares) in sums.iter_mut().zip(words) {
                sum.add(squares.mul(V::splat(share * share)));
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            let at = channel + i * V::LANES;
            let (quant_scale, dequant_scale) = sum.scales(limit);
            quant_scale.write(&mut quant[at..]);
            dequant_scale.write(&mut dequant[at..]);
        }
    }
}

#[inline(always)]
fn total<V: Vector>(values: &[f32]) -> f32 {
    let mut sum = V::zero();
    for values in values.chunks_exact(V::LANES) {
        sum = sum.add(V::read(values));
    }
    sum_of_lanes(sum)
}
