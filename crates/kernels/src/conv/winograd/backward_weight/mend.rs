//! Gradients of pairs of channels of which rounding would leave too little.
//!
//! A channel of the input that few pixels have, where the gradient of another is small, shares its scale
//! with all that is large elsewhere. Such pairs are summed up anew, pixel by pixel: a channel that is
//! uneven is mostly zeros.

use super::{
    compare::GROUP,
    measure::Layout,
    plan::{BackwardWeight, Blocks},
};
use crate::{
    conv::{operands::Read, winograd::form::Form},
    cpu::Cpu,
    element::Element,
    isa::{Kernel, Vector},
    parts::Parts,
};

/// Pairs to be summed up anew: `[group of outputs][input]`, 1 or 0.
#[derive(Clone, Copy)]
pub(super) struct Uneven<'a> {
    pub(super) flags: &'a [f32],
    pub(super) blocks: Blocks,
    /// Of the blocks, compared.
    pub(super) records: &'a [f32],
}

impl BackwardWeight {
    /// Sums up uneven pairs anew.
    pub(super) fn mend<E: Element>(
        &self,
        cpu: &Cpu,
        x: Read<'_, E>,
        dy: &[E],
        uneven: Uneven<'_>,
        dw: &mut [f32],
    ) {
        let inputs = self.input.channels;
        let rows = Parts::new(dw, GROUP * 9 * inputs);
        cpu.pool().run_parts(self.output.channels / GROUP, rows, |group, dw| {
            let flags = &uneven.flags[group * inputs..][..inputs];
            if flags.contains(&1.0) {
                let layout = self.layout();
                cpu.isa().dispatch(Mend { plan: self, layout, x, dy, uneven, flags, group, dw });
            }
        });
    }
}

struct Mend<'a, E> {
    plan: &'a BackwardWeight,
    layout: Layout,
    x: Read<'a, E>,
    dy: &'a [E],
    uneven: Uneven<'a>,
    flags: &'a [f32],
    group: usize,
    /// Of the group.
    dw: &'a mut [f32],
}

impl<E: Element> Kernel for Mend<'_, E> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        for channel in (0..self.flags.len()).filter(|&channel| self.flags[channel] == 1.0) {
            let sums = self.sums::<V>(channel);
            for (tap, sums) in sums.iter().enumerate() {
                for (output, sum) in sums.iter().enumerate() {
                    self.dw[(output * 9 + tap) * self.flags.len() + channel] = *sum;
                }
            }
        }
    }
}

impl<E: Element> Mend<'_, E> {
    /// Of an input channel: of each tap, those of the outputs.
    #[inline(always)]
    fn sums<V: Vector>(&self, channel: usize) -> [[f32; GROUP]; 9] {
        let (grid, inputs) = (&self.plan.input, self.flags.len());
        let Uneven { blocks, records, .. } = self.uneven;
        let mut sums = [[0.0; GROUP]; 9];
        let records = records.chunks_exact(self.layout.len()).enumerate();
        let bands = records.flat_map(|(block, record)| {
            let first = blocks.tiles(block).start / grid.columns();
            let energies = self.layout.of(record).v.chunks_exact(inputs).enumerate();
            energies.filter(|(_, v)| v[channel] > 0.0).map(move |(i, _)| first + i)
        });
        for band in bands {
            let (image, band) = (band / grid.bands(), band % grid.bands());
            let rows = band * grid.side..((band + 1) * grid.side).min(grid.height);
            for (y, x) in rows.flat_map(|y| (0..grid.width).map(move |x| (y, x))) {
                let at = image * grid.image_len() + (y * grid.width + x) * inputs + channel;
                let mut value = self.x.values[at].to_f32();
                if let Some(norm) = self.x.norm {
                    value = value.mul_add(norm.scale[channel], norm.shift[channel]).max(0.0);
                }
                if value != 0.0 {
                    self.add::<V>(image, (y, x), value, &mut sums);
                }
            }
        }
        sums
    }

    /// Adds the products of a pixel.
    #[inline(always)]
    fn add<V: Vector>(
        &self,
        image: usize,
        (y, x): (usize, usize),
        value: f32,
        sums: &mut [[f32; GROUP]; 9],
    ) {
        let grid = &self.plan.output;
        let stride = if self.plan.form == Form::Strided { 2 } else { 1 };
        // The row, or column, of outputs that a row of windows meets.
        let met = |pixel: usize, tap: usize, outputs: usize| {
            let from = (pixel + 1).checked_sub(tap)?;
            (from % stride == 0 && from / stride < outputs).then_some(from / stride)
        };
        for (tap, sums) in sums.iter_mut().enumerate() {
            let (row, column) = (met(y, tap / 3, grid.height), met(x, tap % 3, grid.width));
            let (Some(row), Some(column)) = (row, column) else { continue };
            let at = image * grid.image_len() + (row * grid.width + column) * grid.channels;
            let dy = &self.dy[at + self.group * GROUP..][..GROUP];
            for lane in (0..GROUP).step_by(V::LANES) {
                let sum =
                    E::read::<V>(&dy[lane..]).mul_add(V::splat(value), V::read(&sums[lane..]));
                sum.write(&mut sums[lane..]);
            }
        }
    }
}
