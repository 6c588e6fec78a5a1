//! Items of work of the forward pass: the three stages, and who runs them.

use std::ops::Range;

use super::{FRESH, Forward, Operand};
use crate::{
    conv::{
        Activation, Epilogue,
        winograd::{
            multiply,
            tiles::{BLOCK, input_planes},
            transform::{self, Half, Input},
        },
    },
    element::Element,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// What all items of a call share.
pub(super) struct Job<'a, X, E> {
    pub(super) plan: &'a Forward,
    pub(super) x: Activation<'a, X>,
    pub(super) weights: Operand<'a>,
    pub(super) y: &'a Parts<'a, E>,
    pub(super) epilogue: &'a Epilogue<'a, E>,
}

impl<X: Copy, E> Clone for Job<'_, X, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<X: Copy, E> Copy for Job<'_, X, E> {}

/// All outputs of some tiles.
pub(super) struct Whole<'a, X, E> {
    pub(super) job: Job<'a, X, E>,
    pub(super) tiles: Range<usize>,
    pub(super) v: &'a mut [f32],
    pub(super) m: &'a mut [f32],
}

impl<X: Element, E: Element> Kernel for Whole<'_, X, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Whole { job, tiles, v, m } = self;
        let channels = 0..job.plan.output.channels;
        let v = v.as_mut_ptr();
        // SAFETY: the scratch holds the planes; nobody else has these tiles.
        unsafe {
            job.transform::<V>(tiles.clone(), v, 0);
            job.outputs::<V, TILE>(tiles, v, m, channels);
        }
    }
}

/// Transforms some tiles of a shared block.
pub(super) struct Transform<'a, X, E> {
    pub(super) job: Job<'a, X, E>,
    pub(super) tiles: Range<usize>,
    pub(super) v: *mut f32,
    /// Place of the first tile in the block.
    pub(super) first: usize,
}

impl<X: Element, E: Element> Kernel for Transform<'_, X, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        // SAFETY: `v` is the shared block; each item has its own tiles.
        unsafe { self.job.transform::<V>(self.tiles, self.v, self.first) };
    }
}

/// Some outputs of the tiles of a shared block.
pub(super) struct Panel<'a, X, E> {
    pub(super) job: Job<'a, X, E>,
    pub(super) tiles: Range<usize>,
    pub(super) v: &'a [f32],
    pub(super) m: &'a mut [f32],
    pub(super) channels: Range<usize>,
}

impl<X: Element, E: Element> Kernel for Panel<'_, X, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        // SAFETY: the scratch holds the planes; each item has its own channels.
        unsafe {
            self.job.outputs::<V, TILE>(self.tiles, self.v.as_ptr(), self.m, self.channels);
        }
    }
}

impl<X: Element, E: Element> Job<'_, X, E> {
    /// # Safety
    /// `v` must hold the planes, and nobody else use the places of these tiles.
    #[inline(always)]
    unsafe fn transform<V: Vector>(&self, tiles: Range<usize>, v: *mut f32, first: usize) {
        let (grid, planes) = (&self.plan.input, &self.plan.v());
        // SAFETY: the caller's contract.
        unsafe {
            if X::PACK == 1 {
                input_planes::<Input, X, V, 6, 6>(grid, self.x, tiles, 1, planes, v, first);
            } else {
                input_planes::<Input, X, V, 4, 4>(grid, self.x, tiles, 1, planes, v, first);
            }
        }
    }

    /// # Safety
    /// `v` must hold the planes, and nobody else write these channels of these tiles.
    #[inline(always)]
    unsafe fn outputs<V: Vector, const TILE: usize>(
        &self,
        tiles: Range<usize>,
        v: *const f32,
        m: &mut [f32],
        channels: Range<usize>,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            if X::PACK == 1 {
                self.multiply::<V, TILE>(36, tiles.len(), v, m, channels.clone());
                self.store::<V, 6, 4>(tiles, m, channels);
            } else {
                self.multiply::<V, TILE>(16, tiles.len(), v, m, channels.clone());
                self.store::<V, 4, 2>(tiles, m, channels);
            }
        }
    }

    /// Products of all elements into `m`.
    ///
    /// # Safety
    /// As [`Job::outputs`].
    #[inline(always)]
    unsafe fn multiply<V: Vector, const TILE: usize>(
        &self,
        elements: usize,
        tiles: usize,
        v: *const f32,
        m: &mut [f32],
        channels: Range<usize>,
    ) {
        let plan = self.plan;
        let depth = plan.packed.depth;
        let groups = tiles.div_ceil(TILE);
        assert!(groups * TILE <= plan.tiles);
        // SAFETY: within the planes and the packed weights (`run` checks those).
        unsafe {
            match self.weights {
                Operand::Packed(packed) => {
                    let u = packed.as_ptr().add(channels.start * depth);
                    let stride = plan.packed.stride();
                    for e in 0..elements {
                        let u = u.add(e * stride);
                        self.products::<V, TILE>(e, groups, v, 0..depth, u, m, channels.len());
                    }
                }
                Operand::Plain(plain) => {
                    let width = channels.len();
                    let stride = plan.fresh_stride(width);
                    let (m, u) = m.split_at_mut(plan.m(width).len(elements));
                    let (u, turned) = u.split_at_mut(elements * stride);
                    let all = 0..depth * X::PACK;
                    let taps = plain.taps::<V>(channels.start, width, all, turned);
                    let u = u.as_mut_ptr();
                    for start in (0..depth).step_by(FRESH) {
                        let words = start..(start + FRESH).min(depth);
                        let values = words.start * X::PACK..words.end * X::PACK;
                        taps.transform::<X, V>(values, width, u, stride);
                        let next = words.end..(words.end + FRESH).min(depth);
                        let next = next.start * X::PACK..next.end * X::PACK;
                        for e in 0..elements {
                            plain.prefetch::<V>(channels.start, width, next.clone(), (e, elements));
                            let u = u.add(e * stride);
                            let words = words.clone();
                            self.products::<V, TILE>(e, groups, v, words, u, m, width);
                        }
                    }
                }
            }
        }
    }

    /// Products of an element over part of the depth, for `outputs` channels whose weights start
    /// at `u`; added to `m` but for the first part.
    ///
    /// # Safety
    /// As [`Job::outputs`]; `u` must hold the weights.
    #[inline(always)]
    unsafe fn products<V: Vector, const TILE: usize>(
        &self,
        e: usize,
        groups: usize,
        v: *const f32,
        words: Range<usize>,
        u: *const f32,
        m: &mut [f32],
        outputs: usize,
    ) {
        let (plan, wide) = (self.plan, 2 * V::LANES);
        let (v_planes, m_planes) = (plan.v(), plan.m(outputs));
        assert!(m.len() >= (e + 1) * m_planes.stride());
        let m_vector = if V::LANES == BLOCK { plan.tiles * BLOCK } else { V::LANES };
        let (blocks, more) = (words.len() / BLOCK, words.start > 0);
        for channel in (0..outputs).step_by(wide) {
            // SAFETY: the caller's contract.
            unsafe {
                let v = v.add(e * v_planes.stride() + v_planes.at(words.start / BLOCK, 0));
                // Panels before this one are whole, and as deep as the weights that are here.
                let u = u.add(channel * words.len());
                let at = m_planes.at(channel / BLOCK, 0) + channel % BLOCK;
                let m = m.as_mut_ptr().add(e * m_planes.stride() + at);
                let tiles = plan.tiles;
                if outputs - channel >= wide {
                    multiply::panel::<X, V, TILE, 2>(
                        v, tiles, u, blocks, m, m_vector, groups, more,
                    );
                } else {
                    multiply::panel::<X, V, TILE, 1>(
                        v, tiles, u, blocks, m, m_vector, groups, more,
                    );
                }
            }
        }
    }

    /// Transforms `m` back, and stores the outputs.
    ///
    /// # Safety
    /// As [`Job::outputs`].
    #[inline(always)]
    unsafe fn store<V: Vector, const N: usize, const M: usize>(
        &self,
        tiles: Range<usize>,
        m: &[f32],
        channels: Range<usize>,
    ) {
        let grid = &self.plan.output;
        let planes = self.plan.m(channels.len());
        let stride = planes.stride();
        let epilogue = self.epilogue;
        for (at, tile) in tiles.enumerate() {
            let (image, y, x) = grid.place(tile);
            let (rows, columns) = (M.min(grid.height - y), M.min(grid.width - x));
            let corner = image * grid.image_len() + (y * grid.width + x) * grid.channels;
            for channel in channels.clone().step_by(V::LANES) {
                let own = channel - channels.start;
                let from = planes.at(own / BLOCK, at) + own % BLOCK;
                let mut half = Half::<V, M, N>::new();
                for j in 0..N {
                    let mut column = [V::zero(); N];
                    for (i, value) in column.iter_mut().enumerate() {
                        // SAFETY: within the planes.
                        *value = unsafe { V::load(m.as_ptr().add((i * N + j) * stride + from)) };
                    }
                    half.set(j, transform::output::<V, N, M>(&column));
                }
                let mut bias = V::zero();
                if let Some(values) = epilogue.bias {
                    // SAFETY: `run` checks the length.
                    bias = unsafe { V::load(values.as_ptr().add(channel)) };
                }
                for i in 0..rows {
                    // SAFETY: set above; there are at most M rows.
                    let line: [V; M] = transform::output::<V, N, M>(unsafe { half.row(i) });
                    for (j, mut sum) in line.into_iter().enumerate().take(columns) {
                        let to = corner + (i * grid.width + j) * grid.channels + channel;
                        // SAFETY: a pixel of the image; `run` checks the lengths.
                        unsafe {
                            let out = self.y.as_mut_ptr().add(to);
                            if epilogue.bias.is_some() {
                                sum = sum.add(bias);
                            }
                            if let Some(residual) = epilogue.residual {
                                sum = sum.add(E::load(residual.as_ptr().add(to)));
                            }
                            if epilogue.accumulate {
                                sum = sum.add(E::load(out));
                            }
                            if epilogue.relu {
                                sum = sum.relu();
                            }
                            E::store(sum, out);
                        }
                    }
                }
            }
        }
    }
}
