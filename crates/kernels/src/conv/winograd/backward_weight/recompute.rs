//! Gradients of pairs of channels for which integers are not accurate enough, in f32.
//!
//! An input channel may be nonzero in few pixels, where the gradient of an output channel is small.
//! The scale of that gradient follows from its large values elsewhere, so little of the pair is
//! left. Such pairs are recomputed pixel by pixel. That takes little time, since an uneven channel
//! is mostly zeros.

use super::{
    compare::GROUP,
    plan::{BackwardWeightPlan, TileBlocks},
    statistics::RecordLayout,
};
use crate::{
    chunks::DisjointChunks,
    conv::{
        operands::TypedInput,
        winograd::{quantise::MAX_INT16_CHANNELS, variant::Variant},
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// Pairs to recompute.
#[derive(Clone, Copy)]
pub(super) struct Flagged<'a> {
    /// `[group of outputs][input]`, 1 or 0.
    pub(super) flags: &'a [f32],
    pub(super) blocks: TileBlocks,
    /// The blocks' records, after the comparison.
    pub(super) records: &'a [f32],
}

impl BackwardWeightPlan {
    /// Recomputes flagged pairs.
    pub(super) fn recompute<T: Scalar>(
        &self,
        cpu: &Cpu,
        x: TypedInput<'_, T>,
        dy: &[T],
        flagged: Flagged<'_>,
        dw: &mut [f32],
    ) {
        let (layout, inputs) = (self.layout(), self.input.channels);
        assert_eq!(dw.len(), 9 * inputs * self.output.channels);
        let dw = DisjointChunks::new(dw, 0);
        cpu.pool().run(inputs, &|_, channel| {
            let mut groups = flagged.flags.chunks_exact(inputs).take(self.output.channels / GROUP);
            if groups.any(|flags| flags[channel] == 1.0) {
                let dw = dw.as_mut_ptr();
                cpu.isa().dispatch(Recompute { plan: self, layout, x, dy, flagged, channel, dw });
            }
        });
    }
}

/// Recomputes the flagged pairs of an input channel.
struct Recompute<'a, T> {
    plan: &'a BackwardWeightPlan,
    layout: RecordLayout,
    x: TypedInput<'a, T>,
    dy: &'a [T],
    flagged: Flagged<'a>,
    channel: usize,
    dw: *mut f32,
}

/// Sums of every group of outputs, by tap.
type Sums = [[[f32; GROUP]; 9]; MAX_INT16_CHANNELS / GROUP];

impl<T: Scalar> Kernel for Recompute<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (grid, inputs) = (&self.plan.input, self.layout.inputs);
        let Flagged { blocks, records, flags } = self.flagged;
        let (mut sums, mut lists): (Sums, _) =
            ([[[0.0; GROUP]; 9]; MAX_INT16_CHANNELS / GROUP], TapLists::new());
        for (block, record) in records.chunks_exact(self.layout.len()).enumerate() {
            let first = blocks.tiles(block).start / grid.columns();
            let bands = self.layout.of(record).v.chunks_exact(inputs).enumerate();
            for (i, _) in bands.filter(|(_, v)| v[self.channel] > 0.0) {
                let (image, band) = ((first + i) / grid.bands(), (first + i) % grid.bands());
                let rows = band * grid.side..((band + 1) * grid.side).min(grid.height);
                for (y, x) in rows.flat_map(|y| (0..grid.width).map(move |x| (y, x))) {
                    if lists.is_full() {
                        self.add::<V>(&mut lists, &mut sums);
                    }
                    self.list(image, (y, x), &mut lists);
                }
            }
        }
        self.add::<V>(&mut lists, &mut sums);
        for (group, sums) in sums.iter().enumerate().take(self.layout.outputs / GROUP) {
            if flags[group * inputs + self.channel] != 1.0 {
                continue;
            }
            for (tap, sums) in sums.iter().enumerate() {
                for (output, sum) in sums.iter().enumerate() {
                    let at = ((group * GROUP + output) * 9 + tap) * inputs + self.channel;
                    // SAFETY: within `dw`, whose length `mend` has checked; each item has its own
                    // channel.
                    unsafe { *self.dw.add(at) = *sum };
                }
            }
        }
    }
}

/// The most pixels at once.
const PIXELS: usize = 256;

/// For each tap, the positions of the gradients that some pixels are multiplied with, and the
/// values of these pixels.
struct TapLists {
    places: [[(usize, f32); PIXELS]; 9],
    counts: [usize; 9],
}

impl TapLists {
    #[inline(always)]
    fn new() -> Self {
        TapLists { places: [[(0, 0.0); PIXELS]; 9], counts: [0; 9] }
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.counts.contains(&PIXELS)
    }
}

impl<T: Scalar> Recompute<'_, T> {
    /// Adds a pixel to the lists, unless it is zero.
    #[inline(always)]
    fn list(&self, image: usize, (y, x): (usize, usize), lists: &mut TapLists) {
        let (grid, output) = (&self.plan.input, &self.plan.output);
        let at = image * grid.image_len() + (y * grid.width + x) * grid.channels + self.channel;
        let mut value = self.x.values[at].to_f32();
        if let Some(norm) = self.x.norm {
            let (scale, shift) = (norm.scale[self.channel], norm.shift[self.channel]);
            value = value.mul_add(scale, shift).max(0.0);
        }
        if value == 0.0 {
            return;
        }
        let stride = if self.plan.variant == Variant::Strided { 2 } else { 1 };
        // The row, or column, of the output whose window has the pixel at a tap.
        let of = |pixel: usize, tap: usize, outputs: usize| {
            let from = (pixel + 1).checked_sub(tap)?;
            (from % stride == 0 && from / stride < outputs).then_some(from / stride)
        };
        for tap in 0..9 {
            let (row, column) = (of(y, tap / 3, output.height), of(x, tap % 3, output.width));
            if let (Some(row), Some(column)) = (row, column) {
                let pixel = (image * output.height + row) * output.width + column;
                lists.places[tap][lists.counts[tap]] = (pixel, value);
                lists.counts[tap] += 1;
            }
        }
    }

    /// Adds the products of the listed pixels to the sums, and clears the lists.
    #[inline(always)]
    fn add<V: Vector>(&self, lists: &mut TapLists, sums: &mut Sums) {
        let (inputs, channels) = (self.layout.inputs, self.layout.outputs);
        for (group, sums) in sums.iter_mut().enumerate().take(channels / GROUP) {
            if self.flagged.flags[group * inputs + self.channel] != 1.0 {
                continue;
            }
            for (tap, sums) in sums.iter_mut().enumerate() {
                for lane in (0..GROUP).step_by(V::LANES) {
                    let mut sum = V::read(&sums[lane..]);
                    for &(pixel, value) in &lists.places[tap][..lists.counts[tap]] {
                        let at = pixel * channels + group * GROUP + lane;
                        sum = T::read::<V>(&self.dy[at..]).mul_add(V::splat(value), sum);
                    }
                    sum.write(&mut sums[lane..]);
                }
            }
        }
        lists.counts = [0; 9];
    }
}
