//! Scales of integers of a gradient of weights, and whether they do.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    mend::{GROUP, Uneven},
    plan::BackwardWeight,
};
use crate::{
    conv::{
        operands::Read,
        winograd::{
            energies::{Bands, add_up},
            form::Form,
            product::{self, Energy},
        },
    },
    cpu::Cpu,
    element::Element,
    isa::{Kernel, Vector},
    parts::Parts,
};

/// Scales of a block of tiles: what values of the input and of the output's gradient are multiplied with,
/// and what integers of each are worth; of each channel, at its [place](product::channel_at).
#[derive(Clone, Copy)]
pub(super) struct Scales<'a> {
    pub(super) v_times: &'a [f32],
    pub(super) w_times: &'a [f32],
    pub(super) v_units: &'a [f32],
    pub(super) w_units: &'a [f32],
}

/// What each band is multiplied with, on the side of the input and, by the inverse, on that of the
/// gradient: so that a sum over bands has terms of alike size on both sides.
#[derive(Clone, Copy)]
pub(super) struct Shares<'a> {
    pub(super) v: &'a [f32],
    pub(super) w: &'a [f32],
}

/// Shares and scales of a call; nothing of either where values are no integers.
#[derive(Clone, Copy)]
pub(super) struct Measured<'a> {
    pub(super) shares: Shares<'a>,
    scales: &'a [f32],
    each: usize,
}

impl<'a> Measured<'a> {
    /// Of values that are no integers.
    pub(super) const NONE: Measured<'static> =
        Measured { shares: Shares { v: &[], w: &[] }, scales: &[], each: 0 };

    /// Scales of a block.
    pub(super) fn of(&self, plan: &BackwardWeight, block: usize) -> Scales<'a> {
        let scales = &self.scales[block * self.each..][..self.each];
        if scales.is_empty() {
            return Scales { v_times: &[], w_times: &[], v_units: &[], w_units: &[] };
        }
        let [v_times, w_times, v_units, w_units] = plan.scales_at().map(|at| &scales[at..]);
        Scales { v_times, w_times, v_units, w_units }
    }
}

/// A pair of channels is summed up anew where rounding is more than 2^-6 of the root of what squares
/// `x^2 dy^2` add up to, in the mean of a band: what a tap is if signs have nothing to do with each other.
///
/// An element of a pair, over a block, is off by `0.29 v_unit w_unit` times the norm of either side's
/// integers, if roundings have nothing to do with each other. These are about a sixth of their bound for
/// a tile of the input, and a fourth for one of the gradient: few patches lie along one element. The sums
/// of squares of what the transform back makes of the 36 elements are 19.1^2 in the mean of the taps.
const fn error(form: Form) -> f32 {
    let plain = 0.29 * 19.1 * 13_333.0 * (1 << 6) as f32;
    match form {
        Form::Plain => plain,
        // As measured: its windows' elements meet up to nine of a tile.
        Form::Strided => 2.0 * plain,
    }
}

/// Pairs are not summed up anew where that takes more than one of so many products of elements.
const MENDED: usize = 8;

impl BackwardWeight {
    /// Shares and scales of a batch, and pairs of which rounding would leave too little; nothing where
    /// integers would not do.
    pub(super) fn measure<'a, E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Read<'_, E>,
        dy: &[E],
        to: &'a mut [f32],
        scratch: &mut [f32],
    ) -> Option<(Measured<'a>, Option<Uneven<'a>>)> {
        let side = if self.form == Form::Strided { 9 } else { 6 };
        let x = Bands { grid: &self.input, read: x, images: batch, side, border: 1 };
        let dy = Bands::apart(&self.output, dy.into(), batch);
        let (bands, inputs, outputs) = (x.count(), self.input.channels, self.output.channels);
        let (v, to) = to.split_at_mut(bands * inputs);
        let (w, to) = to.split_at_mut(bands * outputs);
        let (shares, to) = to.split_at_mut(2 * bands);
        let (v_over, to) = to.split_at_mut(inputs);
        let (w_over, to) = to.split_at_mut(outputs);
        let (flags, scales) = to.split_at_mut(outputs / GROUP * inputs);
        x.each(cpu, v);
        dy.each(cpu, w);
        if !over_norms(cpu, &x, v, v_over, scratch) || !over_norms(cpu, &dy, w, w_over, scratch) {
            return None;
        }
        let (v_shares, w_shares) = shares.split_at_mut(bands);
        let energies = Energies { v, w, inputs, outputs, v_over, w_over };
        let each = Parts::new(v_shares, SHARE);
        let parts = (each, Parts::new(w_shares, SHARE));
        cpu.pool().run_parts(bands.div_ceil(SHARE), parts, |item, to| {
            cpu.isa().dispatch(Share { energies, first: item * SHARE, to });
        });
        let shares = Shares { v: v_shares, w: w_shares };
        let each = 2 * (inputs + outputs);
        let blocks = self.blocks(batch * self.input.tiles());
        let scales = &mut scales[..blocks.len() * each];
        cpu.pool().run_parts(blocks.len(), Parts::new(scales, each), |block, to| {
            let tiles = blocks.tiles(block);
            cpu.isa().dispatch(Scale { plan: self, energies, shares, tiles, to });
        });
        let measured = Measured { shares, scales, each };
        let anew = AtomicUsize::new(0);
        let (blocks, parts) = (blocks.len(), Parts::new(&mut *flags, inputs));
        cpu.pool().run_parts(outputs / GROUP, parts, |group, flags| {
            let compare = Compare { plan: self, energies, measured, blocks, group, flags };
            anew.fetch_add(cpu.isa().dispatch(compare), Ordering::Relaxed);
        });
        let anew = anew.into_inner();
        let uneven = (anew > 0).then_some(Uneven { flags, energies: v });
        let products = batch * self.input.tiles() * self.form.elements() * inputs * outputs;
        // Nine taps each.
        (anew.saturating_mul(9) <= products / MENDED).then_some((measured, uneven))
    }

    /// Words that [`BackwardWeight::measure`] leaves, at most.
    pub(super) fn measured_len(&self, images: usize) -> usize {
        let channels = self.input.channels + self.output.channels;
        let bands = images * self.input.bands();
        let flags = self.output.channels / GROUP * self.input.channels;
        bands * (channels + 2) + (1 + 2 * self.most_blocks()) * channels + flags
    }
}

/// One over the norm of every channel, or zero if it is; false where these are not usable.
fn over_norms<E: Element>(
    cpu: &Cpu,
    bands: &Bands<'_, E>,
    energies: &[f32],
    to: &mut [f32],
    scratch: &mut [f32],
) -> bool {
    add_up(energies, to);
    let usable = bands.usable(cpu, to, scratch);
    to.iter_mut().for_each(|x| *x = if *x > 0.0 { 1.0 / x.sqrt() } else { 0.0 });
    usable
}

/// Sums of squares of every channel in each band, of both sides.
#[derive(Clone, Copy)]
struct Energies<'a> {
    v: &'a [f32],
    w: &'a [f32],
    inputs: usize,
    outputs: usize,
    /// One over the norm of each channel.
    v_over: &'a [f32],
    w_over: &'a [f32],
}

impl<'a> Energies<'a> {
    fn v(&self, band: usize) -> &'a [f32] {
        &self.v[band * self.inputs..][..self.inputs]
    }

    fn w(&self, band: usize) -> &'a [f32] {
        &self.w[band * self.outputs..][..self.outputs]
    }
}

/// Bands of an item of [`Share`].
const SHARE: usize = 16;

/// Shares of some bands.
struct Share<'a> {
    energies: Energies<'a>,
    first: usize,
    to: (&'a mut [f32], &'a mut [f32]),
}

impl Kernel for Share<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Share { energies, first, to } = self;
        for (i, (v, w)) in to.0.iter_mut().zip(to.1).enumerate() {
            let ratio = total::<V>(energies.w(first + i)) / total::<V>(energies.v(first + i));
            // Of the root of both sides' ratio the root: so a band of large values weighs no more
            // than what it contributes.
            let share = ratio.sqrt().sqrt();
            let usable = share > 0.0 && share.is_finite();
            (*v, *w) = if usable { (share, 1.0 / share) } else { (0.0, 0.0) };
        }
    }
}

#[inline(always)]
fn total<V: Vector>(values: &[f32]) -> f32 {
    let mut sum = V::zero();
    for values in values.chunks_exact(V::LANES) {
        sum = sum.add(V::read(values));
    }
    let mut lanes = [0.0; 16];
    assert!(V::LANES <= lanes.len());
    sum.write(&mut lanes);
    lanes.iter().sum()
}

/// Scales of a block of tiles.
struct Scale<'a> {
    plan: &'a BackwardWeight,
    energies: Energies<'a>,
    shares: Shares<'a>,
    tiles: Range<usize>,
    to: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Scale { plan, energies, shares, tiles, to } = self;
        let columns = plan.input.columns();
        let bands = tiles.start / columns..(tiles.end - 1) / columns + 1;
        let [v_times, w_times, v_units, w_units] = plan.scales_at();
        for channel in (0..energies.inputs).step_by(2 * V::LANES) {
            let mut sums = [Energy::<V>::zero(); 2];
            for band in bands.clone() {
                let share = shares.v[band] * shares.v[band];
                sums = add::<V>(sums, &energies.v(band)[channel..], share);
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let at = channel + i * V::LANES;
                let (times, units) = sum.scales(product::INPUT);
                times.write(&mut to[v_times + at..]);
                units.write(&mut to[v_units + at..]);
            }
        }
        for channel in (0..energies.outputs).step_by(2 * V::LANES) {
            let mut sums = [Energy::<V>::zero(); 2];
            for band in bands.clone() {
                let share = shares.w[band] * shares.w[band];
                sums = add::<V>(sums, &energies.w(band)[channel..], share);
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let at = channel + i * V::LANES;
                let (times, units) = sum.scales(product::GRADIENT);
                times.write(&mut to[w_times + at..]);
                units.write(&mut to[w_units + at..]);
            }
        }
    }
}

/// Adds a band's sums of squares times its share; no square is larger than one of them.
#[inline(always)]
fn add<V: Vector>(sums: [Energy<V>; 2], of: &[f32], share: f32) -> [Energy<V>; 2] {
    let words = V::apart(V::read(of), V::read(&of[V::LANES..]));
    let mut sums = sums;
    for (sum, squares) in sums.iter_mut().zip(words) {
        let squares = squares.mul(V::splat(share));
        sum.add(squares);
    }
    sums
}

/// Whether rounding leaves too little of pairs of some outputs and every input.
struct Compare<'a> {
    plan: &'a BackwardWeight,
    energies: Energies<'a>,
    measured: Measured<'a>,
    blocks: usize,
    /// Of the outputs.
    group: usize,
    /// For each input 1 if it leaves too little, or 0.
    flags: &'a mut [f32],
}

impl Kernel for Compare<'_> {
    /// How many products of pixels and outputs there are to be summed up anew, at most.
    type Output = usize;
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) -> usize {
        let Compare { plan, energies, measured, blocks, group, flags } = self;
        let bands = energies.w.len() / energies.outputs;
        let grid = &plan.output;
        // One over the pixels of a band.
        let over = |band: usize| {
            let rows = grid.side.min(grid.height - band % grid.bands() * grid.side);
            1.0 / (rows * grid.width) as f32
        };
        flags.fill(0.0);
        for output in group * GROUP..(group + 1) * GROUP {
            let (place, w_over) = (place_of::<V>(output), energies.w_over[output]);
            for channel in (0..energies.inputs).step_by(2 * V::LANES) {
                // Of channels of norm 1, so that no square of small ones is lost.
                let v_over = &energies.v_over[channel..];
                let v_over = V::apart(V::read(v_over), V::read(&v_over[V::LANES..]));
                let mut rounding = [V::zero(); 2];
                for block in 0..blocks {
                    let scales = measured.of(plan, block);
                    let w = scales.w_units[place] * w_over * error(plan.form);
                    for (i, sum) in rounding.iter_mut().enumerate() {
                        let v = V::read(&scales.v_units[channel + i * V::LANES..]);
                        let v = v.mul(v_over[i]).mul(V::splat(w));
                        *sum = v.mul_add(v, *sum);
                    }
                }
                let mut squares = [V::zero(); 2];
                for band in 0..bands {
                    let w = energies.w(band)[output] * w_over * w_over * over(band);
                    let v = &energies.v(band)[channel..];
                    let v = V::apart(V::read(v), V::read(&v[V::LANES..]));
                    for (i, sum) in squares.iter_mut().enumerate() {
                        let v = v[i].mul(v_over[i]).mul(v_over[i]);
                        *sum = v.mul_add(V::splat(w), *sum);
                    }
                }
                let above = [0, 1].map(|i| rounding[i].sub(squares[i]).max(V::zero()));
                let above = V::alternate(above[0], above[1]);
                for (i, above) in above.into_iter().enumerate() {
                    let flags = &mut flags[channel + i * V::LANES..];
                    above.max(V::read(flags)).write(flags);
                }
            }
        }
        let mut pixels = 0;
        for (channel, flag) in flags.iter_mut().enumerate() {
            if *flag != 0.0 {
                *flag = 1.0;
                pixels += (0..bands).filter(|&band| energies.v(band)[channel] > 0.0).count();
            }
        }
        pixels * plan.input.side * plan.input.width * GROUP
    }
}

/// The reverse of [`product::channel_at`].
#[inline(always)]
fn place_of<V: Vector>(channel: usize) -> usize {
    let (group, at) = (channel / (2 * V::LANES), channel % (2 * V::LANES));
    group * 2 * V::LANES + at % 2 * V::LANES + at / 2
}
