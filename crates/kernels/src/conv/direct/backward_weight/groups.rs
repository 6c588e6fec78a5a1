//! Groups: each panel of outputs is multiplied by the inputs of its own groups alone.
//!
//! The sides are swapped: vectors hold output channels, and inputs are broadcast, or permuted where
//! groups are narrower than a vector (see [`panels`](crate::conv::direct::panels)).
//!
//! ```text
//! LOOP 4  pixels, KC: a block of them
//! LOOP 2  output channels: a panel of dy, packed with the inputs that it is multiplied by
//! -       position of the window
//! LOOP 1  steps: MR inputs, or all of the permuted ones
//! -       pixels, one word: the micro-kernel
//! ```

use std::ops::Range;

use super::{
    item::{SliceItem, pack},
    plan::{DirectBackwardWeight, PixelBlock, SLICE},
};
use crate::{
    conv::{
        direct::panels::{Panel, lanes_of_blocks},
        shape::Source,
    },
    isa::Vector,
    layout::padded,
    scalar::Scalar,
};

impl DirectBackwardWeight {
    /// The panels of a slice.
    pub(super) fn panels_of(&self, slice: usize) -> impl Iterator<Item = Panel> + use<> {
        let end = padded(self.shape.out_channels).min((slice + 1) * SLICE);
        self.panels.of(slice * SLICE, end)
    }

    /// Steps of a tap for a panel, in whole register tiles of `mr`.
    pub(super) fn steps(&self, panel: Panel, mr: usize) -> usize {
        self.panels.block.unwrap_or(panel.span.next_multiple_of(mr))
    }

    /// Values of the sums of a slice, and of the inputs of a pixel that are packed for a panel, at
    /// most.
    pub(super) fn sums_and_inputs(&self, lanes: usize, mr: usize) -> (usize, usize) {
        let (mut most, mut inputs) = (0, 0);
        for slice in 0..self.slices() {
            let mut sums = 0;
            for panel in self.panels_of(slice) {
                sums += self.taps * self.steps(panel, mr) * panel.vectors * lanes;
                inputs = inputs.max(self.packed_inputs(panel, lanes).1);
            }
            most = most.max(sums);
        }
        // The last tile of the last pixel reads past its span: `worker` has a pixel or more.
        (most, inputs + mr)
    }

    /// The input channels that are packed for a panel, in whole vectors: the first, and their
    /// number.
    pub(super) fn packed_inputs(&self, panel: Panel, lanes: usize) -> (usize, usize) {
        let first = panel.start / lanes * lanes;
        (first, (panel.start + panel.span - first).next_multiple_of(lanes))
    }
}

impl<X: Scalar, T: Scalar> SliceItem<'_, X, T> {
    #[inline(always)]
    pub(super) fn run_groups<V: Vector, const MR: usize>(mut self) {
        let plan = self.plan;
        self.sums.fill(0.0);
        for image in self.images.clone().step_by(plan.images * X::PACK) {
            let images = plan.images.min((self.images.end - image).div_ceil(X::PACK));
            for block in &plan.blocks {
                let mut next = 0;
                for panel in plan.panels_of(self.slice) {
                    self.pack_outputs::<V>(block, image, images, panel);
                    let (first, width) = plan.packed_inputs(panel, V::LANES);
                    self.pack_x::<V>(block, image, images, first, width);
                    for pairs in &block.pairs {
                        let pairs = &pairs[..pairs.len() / plan.images * images];
                        let sums = next..next + plan.steps(panel, MR) * panel.vectors * V::LANES;
                        next = sums.end;
                        match (plan.panels.block, panel.vectors) {
                            (Some(4), 2) => self.permuted::<V, 4, 2>(pairs, sums),
                            (Some(4), _) => self.permuted::<V, 4, 1>(pairs, sums),
                            (Some(_), _) => self.permuted::<V, 8, 1>(pairs, sums),
                            (None, 2) => self.broadcast::<V, MR, 2>(pairs, sums, panel),
                            (None, _) => self.broadcast::<V, MR, 1>(pairs, sums, panel),
                        }
                    }
                }
            }
        }
        self.finish_groups(V::LANES, MR);
    }

    /// Packs `dy` of a panel as `[pixel][width]`.
    #[inline(always)]
    fn pack_outputs<V: Vector>(
        &mut self,
        block: &PixelBlock,
        image: usize,
        images: usize,
        panel: Panel,
    ) {
        let s = &self.plan.shape;
        let (stored, width) = (padded(s.out_channels), panel.vectors * V::LANES);
        for i in 0..images {
            let [low, high] = self.pair(image + i * X::PACK, self.dy, s.out_len());
            let to = &mut self.dy_pack[i * block.pixels * width..][..block.pixels * width];
            let start = block.first_out * s.out_width() * stored + panel.first;
            for (pixel, to) in to.chunks_exact_mut(width).enumerate() {
                pack::<X, T, V>(low, high, start + pixel * stored, to);
            }
        }
    }

    /// The micro-kernel of permuted inputs: `sums[j][v] += dy[pixel][v] * permute(x[pixel][v],
    /// lanes[j])`, over a list of pairs of pixels.
    #[inline(always)]
    fn permuted<V: Vector, const BLOCK: usize, const NV: usize>(
        &mut self,
        pairs: &[(u32, u32)],
        held: Range<usize>,
    ) {
        let lanes = lanes_of_blocks::<V, BLOCK>();
        let mut sums = [[V::zero(); NV]; BLOCK];
        for &(from, to) in pairs {
            for v in 0..NV {
                let at = |pixel: u32| (pixel as usize * NV + v) * V::LANES;
                // SAFETY: the lists stay within the packed block.
                let (x, d) = unsafe {
                    let x = V::load(self.x_pack.as_ptr().add(at(from)));
                    (x, V::load(self.dy_pack.as_ptr().add(at(to))))
                };
                for j in 0..BLOCK {
                    sums[j][v] = X::multiply(d, x.permute(lanes[j]), sums[j][v]);
                }
            }
        }
        add(&sums, &mut self.sums[held]);
    }

    /// The micro-kernel of broadcast inputs: `sums[j][v] += dy[pixel][v] * x[pixel][j]`, for MR
    /// inputs of the span after the other.
    #[inline(always)]
    fn broadcast<V: Vector, const MR: usize, const NV: usize>(
        &mut self,
        pairs: &[(u32, u32)],
        held: Range<usize>,
        panel: Panel,
    ) {
        let (base, step) = match self.plan.source {
            Source::Activation => {
                let (first, width) = self.plan.packed_inputs(panel, V::LANES);
                (panel.start - first, width)
            }
            Source::Image => (0, 1),
        };
        for (tile, held) in self.sums[held].chunks_exact_mut(MR * NV * V::LANES).enumerate() {
            let mut sums = [[V::zero(); NV]; MR];
            for &(from, to) in pairs {
                // SAFETY: the lists stay within the packed block, and the buffer of inputs ends
                // with room for the last tile (`worker`).
                unsafe {
                    let at = from as usize * step + base + tile * MR;
                    let x = self.x_pack.as_ptr().add(at);
                    let dy = self.dy_pack.as_ptr().add(to as usize * NV * V::LANES);
                    let row: [V; NV] = std::array::from_fn(|v| V::load(dy.add(v * V::LANES)));
                    for j in 0..MR {
                        let x = V::splat(*x.add(j));
                        for v in 0..NV {
                            sums[j][v] = X::multiply(row[v], x, sums[j][v]);
                        }
                    }
                }
            }
            add(&sums, held);
        }
    }

    /// Copies the sums to `[out][tap][in / groups]`.
    #[inline(always)]
    fn finish_groups(&mut self, lanes: usize, mr: usize) {
        let plan = self.plan;
        let (s, taps) = (&plan.shape, plan.taps);
        let inputs = s.group_inputs();
        let mut start = 0;
        for panel in plan.panels_of(self.slice) {
            let (width, steps) = (panel.vectors * lanes, plan.steps(panel, mr));
            for lane in 0..width.min(s.out_channels.saturating_sub(panel.first)) {
                let output = panel.first + lane;
                // The step of the first input of the group.
                let first = output / s.group_outputs() * inputs;
                let first = first - plan.panels.value(panel, output, 0);
                for tap in 0..taps {
                    let at = ((output % SLICE) * taps + tap) * plan.values;
                    let sums = &self.sums[start + tap * steps * width..][..steps * width];
                    // In dense images a tap is a row of the window.
                    let columns = self.out[at..at + plan.values].chunks_exact_mut(inputs);
                    for (column, out) in columns.enumerate() {
                        let from = (column * s.in_channels + first) * width + lane;
                        let sums = sums[from..].iter().step_by(width);
                        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum);
                    }
                }
            }
            start += taps * steps * width;
        }
    }
}

/// Adds the sums of a block to those before: many short sums round less than a long one.
#[inline(always)]
fn add<V: Vector, const NV: usize, const ROWS: usize>(sums: &[[V; NV]; ROWS], held: &mut [f32]) {
    for (sum, held) in sums.as_flattened().iter().zip(held.chunks_exact_mut(V::LANES)) {
        sum.add(V::read(held)).write(held);
    }
}
