//! Items of work of the forward pass: transform, products, inverse transform.

use std::ops::Range;

use super::plan::{COEFFICIENTS, UnitStridePass};
use crate::{
    chunks::DisjointChunks,
    conv::{
        epilogue::TypedEpilogue,
        operands::TypedInput,
        winograd::{
            grid::BLOCK,
            inverse::InverseTransform,
            multiply,
            planes::input_planes,
            prefetch::Prefetcher,
            quantise::is_int16,
            transform::unit_stride::{InputTransform, OutputTransform, WeightTransform},
            variant::Variant,
            weights::{Gram, LINES, MOST_LINES, OutputScales, QuantScales, RawWeights, Taps},
        },
    },
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// The right operand of the products: transformed weights, or raw ones with their equalisation.
#[derive(Clone, Copy)]
pub(super) enum RightOperand<'a> {
    Packed(&'a [f32]),
    Raw(RawWeights<'a>, &'a [f32]),
}

/// The operands of a call, which all its items share.
pub(super) struct CallContext<'a, T> {
    pub(super) plan: &'a UnitStridePass,
    pub(super) x: TypedInput<'a, T>,
    pub(super) weights: RightOperand<'a>,
    /// The tiles' factors of the equalisation, where they are integers.
    pub(super) equalisation: &'a [f32],
    pub(super) y: &'a DisjointChunks<'a, T>,
    pub(super) epilogue: &'a TypedEpilogue<'a, T>,
}

impl<T: Copy> Clone for CallContext<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Copy> Copy for CallContext<'_, T> {}

/// All outputs of some tiles.
pub(super) struct AllOutputs<'a, T> {
    pub(super) context: CallContext<'a, T>,
    pub(super) tiles: Range<usize>,
    pub(super) v: &'a mut [f32],
    pub(super) m: &'a mut [f32],
}

impl<T: Scalar> Kernel for AllOutputs<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let AllOutputs { context, tiles, v, m } = self;
        let channels = 0..context.plan.output.channels;
        let v = v.as_mut_ptr();
        // SAFETY: the scratch holds the planes; nobody else has these tiles.
        unsafe {
            context.transform::<V>(tiles.clone(), v, 0);
            let CallContext { plan, x, y, .. } = context;
            let prefetcher =
                Prefetcher::block((&plan.input, x.values), (&plan.output, y), tiles.clone());
            context.outputs::<V, MR>(tiles, v, m, channels, prefetcher);
        }
    }
}

/// Transforms some tiles of a shared block.
pub(super) struct TransformTiles<'a, T> {
    pub(super) context: CallContext<'a, T>,
    pub(super) tiles: Range<usize>,
    pub(super) v: *mut f32,
    /// Position of the first tile in the block.
    pub(super) first: usize,
}

impl<T: Scalar> Kernel for TransformTiles<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        // SAFETY: `v` is the shared block; each item has its own tiles.
        unsafe { self.context.transform::<V>(self.tiles, self.v, self.first) };
    }
}

/// Some outputs of the tiles of a shared block.
pub(super) struct OutputPanel<'a, T> {
    pub(super) context: CallContext<'a, T>,
    pub(super) tiles: Range<usize>,
    pub(super) v: &'a [f32],
    pub(super) m: &'a mut [f32],
    pub(super) channels: Range<usize>,
}

impl<T: Scalar> Kernel for OutputPanel<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        // SAFETY: the scratch holds the planes; each item has its own channels.
        unsafe {
            self.context.outputs::<V, MR>(
                self.tiles,
                self.v.as_ptr(),
                self.m,
                self.channels,
                Prefetcher::NONE,
            );
        }
    }
}

impl<T: Scalar> CallContext<'_, T> {
    /// Stage 1: transforms tiles into planes.
    ///
    /// # Safety
    /// `v` must hold the planes, and nobody else may use the words of these tiles.
    #[inline(always)]
    unsafe fn transform<V: Vector>(&self, tiles: Range<usize>, v: *mut f32, first: usize) {
        let (grid, planes) = (&self.plan.input, &self.plan.v());
        // SAFETY: the caller's contract.
        unsafe {
            let equalisation = self.equalisation;
            input_planes::<InputTransform, T, V, 6, 6>(
                grid,
                self.x,
                tiles,
                1,
                equalisation,
                planes,
                v,
                first,
            );
        }
    }

    /// Stages 2 and 3: products, and their inverse transform.
    ///
    /// # Safety
    /// `v` must hold the planes, and nobody else may write these channels of these tiles.
    #[inline(always)]
    unsafe fn outputs<V: Vector, const MR: usize>(
        &self,
        tiles: Range<usize>,
        v: *const f32,
        m: &mut [f32],
        channels: Range<usize>,
        prefetcher: Prefetcher,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            self.multiply::<V, MR>(tiles.len(), v, m, channels.clone(), prefetcher);
            let planes = self.plan.m(channels.len());
            let dequant = v.add(self.plan.v().len(COEFFICIENTS));
            let (grid, y, epilogue) = (&self.plan.output, self.y, self.epilogue);
            let inverse = InverseTransform { m, planes, dequant, grid, y, epilogue };
            inverse.store::<OutputTransform, V, 6, 4>(tiles, channels);
        }
    }

    /// Stage 2: products of all coefficients, into `m`.
    ///
    /// # Safety
    /// As [`CallContext::outputs`].
    #[inline(always)]
    unsafe fn multiply<V: Vector, const MR: usize>(
        &self,
        tiles: usize,
        v: *const f32,
        m: &mut [f32],
        channels: Range<usize>,
        prefetcher: Prefetcher,
    ) {
        let plan = self.plan;
        let depth = plan.packed.depth;
        let groups = tiles.div_ceil(MR);
        assert!(groups * MR <= plan.tiles);
        // SAFETY: within the planes and the packed weights (`run` checks those).
        unsafe {
            match self.weights {
                RightOperand::Packed(packed) => {
                    let u = packed.as_ptr().add(channels.start * depth);
                    let dequant = packed.as_ptr().add(plan.packed.dequant() + channels.start);
                    let stride = plan.packed.stride();
                    let steps = self.steps::<V>(groups, depth, channels.len());
                    let mut prefetcher = prefetcher.in_steps(COEFFICIENTS * steps);
                    // Coefficients: independent products over the whole depth.
                    for e in 0..COEFFICIENTS {
                        let (u, dequant) = (u.add(e * stride), dequant.add(e * stride));
                        let all = 0..depth;
                        let (outputs, prefetcher) = (channels.len(), &mut prefetcher);
                        self.products::<V, MR>(
                            e, groups, v, all, u, dequant, m, outputs, prefetcher,
                        );
                    }
                }
                RightOperand::Raw(raw, equalisation) => {
                    let width = channels.len();
                    let stride = plan.on_the_fly_stride(width);
                    let (m, u) = m.split_at_mut(plan.m(width).len(COEFFICIENTS));
                    let (u, rest) = u.split_at_mut(6 * MOST_LINES * stride);
                    let (dequant, gathered) = rest.split_at_mut(COEFFICIENTS * width);
                    assert!(gathered.len() >= 9 * depth * T::PACK * width);
                    let (panel, rows) = ((channels.start, width), gathered.as_mut_ptr());
                    let all = 0..depth * T::PACK;
                    let taps = if raw.backward {
                        let first = 0..9 * plan.chunk * T::PACK;
                        raw.gather::<T, V>(panel, first, equalisation, rows);
                        Taps::gathered(rows, width)
                    } else {
                        raw.taps::<T, V>(panel.0, width, all, equalisation, gathered)
                    };
                    let (u, dequant) = (u.as_mut_ptr(), dequant.as_mut_ptr());
                    // LOOP 4: blocks of the depth, whose weights are transformed here.
                    for start in (0..depth).step_by(plan.chunk) {
                        let words = start..(start + plan.chunk).min(depth);
                        let values = words.start * T::PACK..words.end * T::PACK;
                        let mut quant = QuantScales::new();
                        if is_int16::<T>() {
                            let mut gram = Gram::new();
                            gram.add::<V>(&taps, values.clone(), width);
                            let mut lanes = OutputScales::ONE;
                            if !gram.is_usable(width) {
                                lanes = taps.normalize::<V>(values.clone(), width);
                                gram = Gram::new();
                                gram.add::<V>(&taps, values.clone(), width);
                            }
                            gram.squares::<WeightTransform, V>(width, &mut quant);
                            quant.scale::<WeightTransform, V>(
                                Variant::UnitStride,
                                width,
                                &lanes,
                                dequant,
                                width,
                            );
                        }
                        let next = words.end..(words.end + plan.chunk).min(depth);
                        let share = |words: &Range<usize>, e: usize| {
                            9 * T::PACK * words.start + 9 * T::PACK * words.len() * e / COEFFICIENTS
                        };
                        // Coefficients, a few lines at a time.
                        for (group, lines) in LINES.into_iter().enumerate() {
                            let values = values.clone();
                            taps.transform::<WeightTransform, T, V>(
                                group, values, width, &quant, u, stride,
                            );
                            for e in 6 * lines.start..6 * lines.end {
                                // Backward, the rows of the next block of the depth are gathered
                                // between products. Rows of the next panel are only prefetched, as
                                // is all forward.
                                let prefetcher = if raw.backward {
                                    let (next, first) = if next.is_empty() {
                                        (0..plan.chunk, panel.0 + width)
                                    } else {
                                        (next.clone(), panel.0)
                                    };
                                    let now = share(&next, e)..share(&next, e + 1);
                                    let then = now.end..share(&next, COEFFICIENTS.min(e + 2));
                                    if first == panel.0 {
                                        raw.gather::<T, V>(panel, now, equalisation, rows);
                                    }
                                    raw.prefetch_rows((first, width), then)
                                } else {
                                    let parts = COEFFICIENTS * depth.div_ceil(plan.chunk);
                                    let part = start / plan.chunk * COEFFICIENTS + e;
                                    raw.prefetch_panel((panel.0 + width, width), (part, parts))
                                };
                                let steps = self.steps::<V>(groups, words.len(), width);
                                let prefetcher = &mut prefetcher.in_steps(steps);
                                let u = u.add((e - 6 * lines.start) * stride);
                                let (dequant, words) = (dequant.add(e * width), words.clone());
                                self.products::<V, MR>(
                                    e, groups, v, words, u, dequant, m, width, prefetcher,
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    /// Steps of a [`Prefetcher`] in the products of a coefficient over `depth` words of the depth.
    fn steps<V: Vector>(&self, groups: usize, depth: usize, outputs: usize) -> usize {
        groups * (depth / BLOCK) * outputs.div_ceil(2 * V::LANES)
    }

    /// Products of coefficient `e` over a block of the depth, for `outputs` channels whose weights
    /// start at `u` and whose dequantisation scales start at `dequant`. The first block is stored
    /// to `m`, the others are added.
    ///
    /// # Safety
    /// As [`CallContext::outputs`]; `u` must hold the weights, `dequant` the scales of the outputs.
    #[inline(always)]
    unsafe fn products<V: Vector, const MR: usize>(
        &self,
        e: usize,
        groups: usize,
        v: *const f32,
        words: Range<usize>,
        u: *const f32,
        dequant: *const f32,
        m: &mut [f32],
        outputs: usize,
        prefetcher: &mut Prefetcher,
    ) {
        let (plan, nr) = (self.plan, 2 * V::LANES);
        let (v_planes, m_planes) = (plan.v(), plan.m(outputs));
        assert!(m.len() >= (e + 1) * m_planes.stride());
        let m_vector = if V::LANES == BLOCK { plan.tiles * BLOCK } else { V::LANES };
        let (blocks, more) = (words.len() / BLOCK, words.start > 0);
        // LOOP 2: panels of NR outputs.
        for channel in (0..outputs).step_by(nr) {
            // SAFETY: the caller's contract.
            unsafe {
                let v = v.add(e * v_planes.stride() + v_planes.at(words.start / BLOCK, 0));
                // All panels before this one are whole, and as deep as this block.
                let u = u.add(channel * words.len());
                let dequant = dequant.add(channel);
                let at = m_planes.at(channel / BLOCK, 0) + channel % BLOCK;
                let m = m.as_mut_ptr().add(e * m_planes.stride() + at);
                let tiles = plan.tiles;
                if outputs - channel >= nr {
                    multiply::multiply_panel::<T, V, MR, 2>(
                        v, tiles, u, dequant, blocks, m, m_vector, groups, more, prefetcher,
                    );
                } else {
                    multiply::multiply_panel::<T, V, MR, 1>(
                        v, tiles, u, dequant, blocks, m, m_vector, groups, more, prefetcher,
                    );
                }
            }
        }
    }
}
