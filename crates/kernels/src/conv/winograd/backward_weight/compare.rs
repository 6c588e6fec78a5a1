//! Whether integers were accurate enough for a gradient of weights, and for which pairs of channels
//! they were not.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    plan::{BackwardWeightPlan, TileBlocks},
    statistics::{BothSides, RecordLayout},
};
use crate::{
    chunks::DisjointChunks,
    conv::winograd::sums_of_squares::{Bands, add_lines},
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// Output channels that are compared, and recomputed, together.
pub(super) const GROUP: usize = 16;

/// A pair of channels is recomputed where its rounding error exceeds 2^-5 of its typical size. That
/// is the root of the sum of `x^2 dy^2`, with means over a band: the size of a tap if signs are
/// independent.
///
/// The error of a coefficient of a pair, over a block, is `0.29 v_dequant w_dequant` times the norm
/// of either side's integers, if rounding errors are independent. Norms are about a sixth of their
/// bound for a tile of the input, and a fourth for one of the gradient, since few patches lie along
/// one coefficient. The inverse transform multiplies it by 19.1 in the mean of the taps (18.4 with
/// a stride of 2).
const ERROR: f32 = 0.29 * 19.1 * 13_333.0 * (1 << 5) as f32;

/// Pairs are recomputed only where that takes at most a fourth of the products of the coefficients.
const RECOMPUTED: usize = 4;

/// For which pairs of channels integers were accurate enough.
pub(super) enum AccuratePairs {
    /// For all pairs.
    All,
    /// For all pairs but those with a flag: `[group of outputs][input]`, 1 or 0.
    Most,
    /// For too few pairs: to recompute the others takes longer than the fallback.
    Few,
}

impl BackwardWeightPlan {
    /// Words that [`BackwardWeightPlan::compare`] takes, for flags, norms and scratch.
    pub(super) fn compared_len(&self) -> usize {
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        let scratch = Bands::<f32>::scratch_len(inputs.max(outputs));
        outputs / GROUP * inputs + inputs + outputs + scratch
    }

    /// Finds the pairs for which integers were accurate enough, from the records of all blocks. The
    /// records' sums of squares are normalised: they become those of channels of norm 1. Flags come
    /// first in `to`.
    pub(super) fn compare<T: Scalar>(
        &self,
        cpu: &Cpu,
        both: BothSides<'_, T>,
        blocks: TileBlocks,
        records: &mut [f32],
        to: &mut [f32],
    ) -> AccuratePairs {
        let layout = self.layout();
        let (flags, to) = to.split_at_mut(layout.outputs / GROUP * layout.inputs);
        let (v_over, to) = to.split_at_mut(layout.inputs);
        let (w_over, scratch) = to.split_at_mut(layout.outputs);
        self.keep_own(blocks, records);
        v_over.fill(0.0);
        w_over.fill(0.0);
        for record in records.chunks_exact(layout.len()) {
            let statistics = layout.of(record);
            add_lines(statistics.v, v_over);
            add_lines(statistics.w, w_over);
        }
        let usable =
            both.x.are_usable(cpu, v_over, scratch) && both.dy.are_usable(cpu, w_over, scratch);
        if !usable {
            return AccuratePairs::Few;
        }
        for over in [&mut *v_over, &mut *w_over] {
            over.iter_mut().for_each(|x| *x = if *x > 0.0 { 1.0 / *x } else { 0.0 });
        }
        let (v_over, w_over) = (&*v_over, &*w_over);
        // Sums of the input are over all patches of a band, so pixels count once for each patch.
        let rows = both.x.side.min(self.input.height);
        let pixels = rows * both.x.side * self.input.columns();
        cpu.pool().run_chunks(
            blocks.len(),
            DisjointChunks::new(records, layout.len()),
            |_, record| {
                cpu.isa().dispatch(Normalize { layout, v_over, w_over, pixels, record });
            },
        );
        let bands = AtomicUsize::new(0);
        let (records, parts) = (&*records, DisjointChunks::new(flags, layout.inputs));
        cpu.pool().run_chunks(layout.outputs / GROUP, parts, |group, flags| {
            let compare = Compare { layout, records, group, flags };
            bands.fetch_add(cpu.isa().dispatch(compare), Ordering::Relaxed);
        });
        let pixels = self.input.side * self.input.width;
        let recomputed = bands.into_inner().saturating_mul(9 * GROUP * pixels);
        let coefficients = blocks.tiles_len() * self.variant.tile_coefficients();
        match recomputed {
            0 => AccuratePairs::All,
            n if n <= coefficients * layout.inputs * layout.outputs / RECOMPUTED => {
                AccuratePairs::Most
            }
            _ => AccuratePairs::Few,
        }
    }

    /// Clears the sums of squares of a band from the second of two blocks that have it.
    fn keep_own(&self, blocks: TileBlocks, records: &mut [f32]) {
        let layout = self.layout();
        for (block, record) in records.chunks_exact_mut(layout.len()).enumerate() {
            let tiles = blocks.tiles(block);
            if tiles.is_empty() {
                record.fill(0.0);
                continue;
            }
            let bands = self.bands(&tiles).len();
            let shared = usize::from(!tiles.start.is_multiple_of(self.input.columns()));
            let (v, w) = layout.squares_mut(record);
            for (side, channels) in [(v, layout.inputs), (w, layout.outputs)] {
                side[..shared * channels].fill(0.0);
                side[bands * channels..].fill(0.0);
            }
        }
    }
}

/// Divides a block's sums of squares by those of all blocks, so that products of two do not
/// underflow, and those of the gradient by the pixels of a band. Dequantisation scales become
/// squares, divided likewise, in the order of channels.
struct Normalize<'a> {
    layout: RecordLayout,
    /// One over the sums of squares of all blocks.
    v_over: &'a [f32],
    w_over: &'a [f32],
    pixels: usize,
    record: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let Normalize { layout, v_over, w_over, pixels, record } = self;
        let (v, w) = layout.squares_mut(record);
        for (side, over, of) in [(v, v_over, 1.0), (w, w_over, 1.0 / pixels as f32)] {
            for band in side.chunks_exact_mut(over.len()) {
                for (x, over) in band.chunks_exact_mut(V::LANES).zip(over.chunks_exact(V::LANES)) {
                    V::read(x).mul(V::read(over)).mul(V::splat(of)).write(x);
                }
            }
        }
        for (dequant, over) in layout.dequant_mut(record).into_iter().zip([v_over, w_over]) {
            for channel in (0..over.len()).step_by(2 * V::LANES) {
                let dequant = &mut dequant[channel..];
                let over = &over[channel..];
                let both = V::interleave(V::read(dequant), V::read(&dequant[V::LANES..]));
                for (i, dequant_scale) in both.into_iter().enumerate() {
                    let over = V::read(&over[i * V::LANES..]);
                    dequant_scale.mul(dequant_scale.mul(over)).write(&mut dequant[i * V::LANES..]);
                }
            }
        }
    }
}

/// Compares the rounding error of pairs of some outputs and every input with their typical size.
struct Compare<'a> {
    layout: RecordLayout,
    records: &'a [f32],
    /// The group of outputs.
    group: usize,
    /// For each input 1 if the error is too large, or 0.
    flags: &'a mut [f32],
}

/// Outputs at once. Their sums fill the registers.
const AT_ONCE: usize = 4;

impl Kernel for Compare<'_> {
    /// The number of bands in which flagged inputs are not zero, over all these inputs.
    type Output = usize;
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) -> usize {
        let Compare { layout, records, group, flags } = self;
        let error = V::splat(ERROR * ERROR);
        for channel in (0..layout.inputs).step_by(2 * V::LANES) {
            let mut above = [V::zero(); 2];
            for output in (group * GROUP..(group + 1) * GROUP).step_by(AT_ONCE) {
                let mut rounding = [[V::zero(); 2]; AT_ONCE];
                let mut squares = [[V::zero(); 2]; AT_ONCE];
                for record in records.chunks_exact(layout.len()) {
                    let of = layout.of(record);
                    add::<V>(&mut rounding, &of.v_dequant[channel..], &of.w_dequant[output..]);
                    let v = of.v.chunks_exact(layout.inputs);
                    for (v, w) in v.zip(of.w.chunks_exact(layout.outputs)) {
                        add::<V>(&mut squares, &v[channel..], &w[output..]);
                    }
                }
                for (rounding, squares) in rounding.iter().zip(squares) {
                    for (i, above) in above.iter_mut().enumerate() {
                        *above = above.max(rounding[i].mul(error).sub(squares[i]));
                    }
                }
            }
            for (i, above) in above.into_iter().enumerate() {
                above.write(&mut flags[channel + i * V::LANES..]);
            }
        }
        let mut bands = 0;
        for (channel, flag) in flags.iter_mut().enumerate().filter(|(_, flag)| **flag != 0.0) {
            *flag = 1.0;
            for record in records.chunks_exact(layout.len()) {
                let v = layout.of(record).v.chunks_exact(layout.inputs);
                bands += v.filter(|band| band[channel] > 0.0).count();
            }
        }
        bands
    }
}

/// `sums[output] += v * w[output]`, for two vectors of inputs.
#[inline(always)]
fn add<V: Vector>(sums: &mut [[V; 2]; AT_ONCE], v: &[f32], w: &[f32]) {
    let (first, second) = (V::read(v), V::read(&v[V::LANES..]));
    for (sums, w) in sums.iter_mut().zip(&w[..AT_ONCE]) {
        let w = V::splat(*w);
        *sums = [first.mul_add(w, sums[0]), second.mul_add(w, sums[1])];
    }
}
