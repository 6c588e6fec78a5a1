//! The forward pass, and the gradient of the input, which has transforms of its own and takes
//! weights rotated by 180 degrees.

use std::ops::Range;

use crate::{
    chunks::DisjointChunks,
    conv::{
        epilogue::TypedEpilogue,
        operands::TypedInput,
        winograd::{
            grid::{BLOCK, Grid, Planes},
            inverse::InverseTransform,
            multiply,
            pass::{Call, Pass, PassWeights},
            planes::input_planes,
            prefetch::Prefetcher,
            transform::strided::{
                GradientInputTransform, GradientOutputTransform, InputTransform, N, OutputTransform,
            },
            variant::Variant,
            weights::Packed,
        },
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// Coefficients of a tile.
const COEFFICIENTS: usize = Variant::Strided.tile_coefficients();
/// Coefficients of a window.
const WEIGHT_COEFFICIENTS: usize = Variant::Strided.weight_coefficients();
/// Target size of a thread's planes in words, 1.2 MB: a typical L2 cache and a little of the L3.
const PLANES: usize = 300 * 1024;
/// Tiles of a shared block, at most.
const SHARED: usize = 64;

/// The forward pass of a convolution, or its gradient of the input.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct StridedPass {
    input: Grid,
    output: Grid,
    /// Whether it is the gradient of the input.
    gradient: bool,
    packed: Packed,
    /// Whether all threads share a block of transformed tiles and split its outputs. Otherwise each
    /// thread takes all outputs of its own blocks.
    shared: bool,
    /// Tiles of a block, MC.
    tiles: usize,
}

impl StridedPass {
    /// For up to `batch` images of activations stored as `T`.
    pub(super) fn new<T: Scalar>(
        input: Grid,
        output: Grid,
        gradient: bool,
        batch: usize,
        mr: usize,
    ) -> Self {
        let packed = Packed { outputs: output.channels, depth: input.channels / T::PACK };
        let mut tiles = PLANES / (COEFFICIENTS * (packed.depth + 2 * BLOCK)) / mr * mr;
        let shared = tiles < 16;
        if shared {
            tiles = SHARED;
        }
        let tiles = tiles.min(batch * input.tiles()).next_multiple_of(mr);
        StridedPass { input, output, gradient, packed, shared, tiles }
    }

    /// The planes of a block of transformed tiles.
    fn v(&self) -> Planes {
        Planes { blocks: self.packed.depth / BLOCK, tiles: self.tiles }
    }

    /// The planes of the products of `outputs` outputs.
    fn m(&self, outputs: usize) -> Planes {
        Planes { blocks: outputs.div_ceil(BLOCK), tiles: self.tiles }
    }

    /// Words of a block of transformed tiles and of their dequantisation scales.
    fn v_len(&self) -> usize {
        self.v().len(COEFFICIENTS) + self.tiles
    }

    /// Words of scratch that all threads share, and of each thread's own.
    fn scratch(&self, cpu: &Cpu) -> (usize, usize) {
        let v = self.v_len();
        let m = self.m(2 * cpu.isa().lanes()).len(COEFFICIENTS);
        if self.shared { (v, m) } else { (0, v + m) }
    }
}

impl Pass for StridedPass {
    const VARIANT: Variant = Variant::Strided;

    fn input(&self) -> &Grid {
        &self.input
    }

    fn output(&self) -> &Grid {
        &self.output
    }

    fn packed(&self) -> Packed {
        self.packed
    }

    fn packs_on_the_fly(&self) -> bool {
        false
    }

    fn scratch_len(&self, cpu: &Cpu) -> usize {
        let (shared, own) = self.scratch(cpu);
        shared + cpu.threads() * own
    }

    fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        call: Call<'_, T>,
        weights: PassWeights<'_>,
        scratch: &mut [f32],
    ) {
        let Call { batch, x, y, epilogue } = call;
        let all = batch * self.input.tiles();
        x.check(self.input.channels);
        assert!(x.values.len() >= batch * self.input.image_len(), "input too short");
        let y = &mut y[..batch * self.output.image_len()];
        assert!(epilogue.residual.is_none_or(|r| r.len() >= y.len()));
        assert!(epilogue.bias.is_none_or(|b| b.len() >= self.output.channels));
        let PassWeights::Packed(packed) = weights else { panic!("weights are transformed before") };
        assert!(packed.len() >= self.packed.len(WEIGHT_COEFFICIENTS));
        let y = DisjointChunks::new(y, 0);
        let (shared, own) = self.scratch(cpu);
        let (v_shared, own_scratch) = scratch.split_at_mut(shared);
        let context = CallContext { plan: self, x, packed, y: &y, epilogue: &epilogue };
        if !self.shared {
            let v_len = self.v_len();
            let items = all.div_ceil(self.tiles);
            // LOOP 3: blocks of tiles, one item each.
            cpu.pool().run_scratch(items, (), (own_scratch, own), |item, (), own| {
                let (v, m) = own.split_at_mut(v_len);
                let tiles = item * self.tiles..((item + 1) * self.tiles).min(all);
                cpu.isa().dispatch(AllOutputs { context, tiles, v, m });
            });
            return;
        }
        let nr = 2 * cpu.isa().lanes();
        // LOOP 3: blocks of tiles, shared by all threads.
        for first in (0..all).step_by(self.tiles) {
            let tiles = first..(first + self.tiles).min(all);
            let v = DisjointChunks::new(v_shared, 0);
            let step = tiles.len().div_ceil(4 * cpu.threads()).max(2);
            cpu.pool().run(tiles.len().div_ceil(step), &|_, item| {
                let part = item * step..((item + 1) * step).min(tiles.len());
                let (tiles, v) = (first + part.start..first + part.end, v.as_mut_ptr());
                cpu.isa().dispatch(TransformTiles { context, tiles, v, first: part.start });
            });
            let v = &*v_shared;
            // LOOP 5: panels of outputs, one item each.
            let items = self.output.channels.div_ceil(nr);
            cpu.pool().run_scratch(items, (), (&mut *own_scratch, own), |item, (), m| {
                let channel = item * nr;
                let channels = channel..(channel + nr).min(self.output.channels);
                cpu.isa().dispatch(OutputPanel { context, tiles: tiles.clone(), v, m, channels });
            });
        }
    }
}

/// The operands of a call, which all its items share.
struct CallContext<'a, T> {
    plan: &'a StridedPass,
    x: TypedInput<'a, T>,
    packed: &'a [f32],
    y: &'a DisjointChunks<'a, T>,
    epilogue: &'a TypedEpilogue<'a, T>,
}

impl<T: Copy> Clone for CallContext<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Copy> Copy for CallContext<'_, T> {}

/// All outputs of some tiles.
struct AllOutputs<'a, T> {
    context: CallContext<'a, T>,
    tiles: Range<usize>,
    v: &'a mut [f32],
    m: &'a mut [f32],
}

impl<T: Scalar> Kernel for AllOutputs<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let AllOutputs { context, tiles, v, m } = self;
        let outputs = context.plan.output.channels;
        let v = v.as_mut_ptr();
        // SAFETY: the scratch holds the planes; nobody else has these tiles.
        unsafe {
            context.transform::<V>(tiles.clone(), v, 0);
            // LOOP 2: panels of NR outputs, outside of the coefficients.
            for channel in (0..outputs).step_by(2 * V::LANES) {
                let channels = channel..(channel + 2 * V::LANES).min(outputs);
                context.outputs::<V, MR>(tiles.clone(), v, m, channels);
            }
        }
    }
}

/// Transforms some tiles of a shared block.
struct TransformTiles<'a, T> {
    context: CallContext<'a, T>,
    tiles: Range<usize>,
    v: *mut f32,
    /// Position of the first tile in the block.
    first: usize,
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

/// A panel of outputs of the tiles of a shared block.
struct OutputPanel<'a, T> {
    context: CallContext<'a, T>,
    tiles: Range<usize>,
    v: &'a [f32],
    m: &'a mut [f32],
    channels: Range<usize>,
}

impl<T: Scalar> Kernel for OutputPanel<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        // SAFETY: the scratch holds the planes; each item has its own channels.
        unsafe {
            self.context.outputs::<V, MR>(self.tiles, self.v.as_ptr(), self.m, self.channels);
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
        let (x, equalisation) =
            (self.x, &self.packed[self.plan.packed.equalisation(WEIGHT_COEFFICIENTS)..]);
        // SAFETY: the caller's contract.
        unsafe {
            if self.plan.gradient {
                input_planes::<GradientInputTransform, T, V, 5, N>(
                    grid,
                    x,
                    tiles,
                    0,
                    equalisation,
                    planes,
                    v,
                    first,
                );
            } else {
                input_planes::<InputTransform, T, V, 9, N>(
                    grid,
                    x,
                    tiles,
                    1,
                    equalisation,
                    planes,
                    v,
                    first,
                );
            }
        }
    }

    /// Stages 2 and 3: products of a panel, and their inverse transform.
    ///
    /// # Safety
    /// `v` must hold the planes, and nobody else may write this panel of these tiles.
    #[inline(always)]
    unsafe fn outputs<V: Vector, const MR: usize>(
        &self,
        tiles: Range<usize>,
        v: *const f32,
        m: &mut [f32],
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            self.multiply::<V, MR>(tiles.len(), v, m, channels.clone());
            let planes = self.plan.m(channels.len());
            let dequant = v.add(self.plan.v().len(COEFFICIENTS));
            let (grid, y, epilogue) = (&self.plan.output, self.y, self.epilogue);
            let inverse = InverseTransform { m, planes, dequant, grid, y, epilogue };
            if self.plan.gradient {
                inverse.store::<GradientOutputTransform, V, N, 8>(tiles, channels);
            } else {
                inverse.store::<OutputTransform, V, N, 4>(tiles, channels);
            }
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
    ) {
        let plan = self.plan;
        let (v_planes, m_planes) = (plan.v(), plan.m(channels.len()));
        let (packed, groups) = (plan.packed, tiles.div_ceil(MR));
        assert!(m.len() >= m_planes.len(COEFFICIENTS) && groups * MR <= plan.tiles);
        assert!(channels.len() <= 2 * V::LANES);
        let m_vector = if V::LANES == BLOCK { plan.tiles * BLOCK } else { V::LANES };
        let mut none = Prefetcher::NONE;
        // Coefficients: independent products over the whole depth.
        for weight in 0..WEIGHT_COEFFICIENTS {
            let at = weight * packed.stride() + channels.start * packed.depth;
            let u = self.packed[at..].as_ptr();
            let dequant = self.packed[weight * packed.stride() + packed.dequant()..].as_ptr();
            let dequant = dequant.wrapping_add(channels.start);
            for e in Variant::Strided.tile_coefficients_for(weight) {
                // SAFETY: within the planes and the packed weights (`run` checks those).
                unsafe {
                    let v = v.add(e * v_planes.stride());
                    let m = m.as_mut_ptr().add(e * m_planes.stride());
                    let blocks = v_planes.blocks;
                    if channels.len() == 2 * V::LANES {
                        multiply::multiply_panel::<T, V, MR, 2>(
                            v, plan.tiles, u, dequant, blocks, m, m_vector, groups, false,
                            &mut none,
                        );
                    } else {
                        multiply::multiply_panel::<T, V, MR, 1>(
                            v, plan.tiles, u, dequant, blocks, m, m_vector, groups, false,
                            &mut none,
                        );
                    }
                }
            }
        }
    }
}
