//! Weights to elements, and gradients of elements to those of weights.

use std::{marker::PhantomData, ops::Range};

use super::{
    form::Form,
    product::{self, Energy, depths, fixed},
    strided,
    tiles::BLOCK,
    transform::{Half, Line, Weight},
};
use crate::{
    cpu::Cpu,
    element::Element,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// Where transformed weights lie: `[element][panel of outputs][k word][2 vectors]`, and what those
/// are worth, if they are integers: `[output]` after each element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    /// Outputs of the product: output channels forward, input channels backward.
    pub(super) outputs: usize,
    /// Words of the depth.
    pub(super) depth: usize,
}

impl Packed {
    /// Words from one element to the next.
    pub(super) fn stride(&self) -> usize {
        self.outputs * (self.depth + 1) + BLOCK
    }

    /// Where an element's units start.
    pub(super) fn units(&self) -> usize {
        self.outputs * self.depth
    }

    pub(super) fn len(&self, elements: usize) -> usize {
        elements * self.stride()
    }
}

/// Weights `[out][3][3][in]` as a product takes them. Forward: lanes are output channels, each
/// times its factor. Backward: the window is turned by half a circle, lanes are input channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'a> {
    pub(super) weights: &'a [f32],
    pub(super) in_channels: usize,
    pub(super) factors: Option<&'a [f32]>,
    pub(super) backward: bool,
}

/// Transforms weights of this layout.
pub(super) fn pack<E: Element>(
    cpu: &Cpu,
    plain: Plain<'_>,
    layout: Packed,
    form: Form,
    packed: &mut [f32],
) {
    let wide = 2 * cpu.isa().lanes();
    // Integers need the norms of the whole depth.
    let values = if fixed::<E>() { layout.depth * E::PACK } else { BLOCK };
    let depths = layout.depth * E::PACK / values;
    assert!(packed.len() >= layout.len(form.weights()));
    let packed = Parts::new(packed, 0);
    cpu.pool().run(layout.outputs.div_ceil(wide) * depths, &|_, item| {
        let first = item / depths * wide;
        let start = item % depths * values;
        cpu.isa().dispatch(Pack::<E> {
            plain,
            layout,
            form,
            first,
            depth: start..start + values,
            to: packed.as_mut_ptr(),
            element: PhantomData,
        });
    });
}

/// A panel of outputs by some values of the depth.
struct Pack<'a, E> {
    plain: Plain<'a>,
    layout: Packed,
    form: Form,
    first: usize,
    depth: Range<usize>,
    to: *mut f32,
    element: PhantomData<E>,
}

impl<E: Element> Kernel for Pack<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        match self.form {
            Form::Plain => self.panel::<Weight, V>(),
            Form::Strided => self.panel::<strided::Weight, V>(),
        }
    }
}

impl<E: Element> Pack<'_, E> {
    #[inline(always)]
    fn panel<L: Line<3, 6>, V: Vector>(self) {
        let Pack { plain, layout, form, first, depth, to, .. } = self;
        let width = (2 * V::LANES).min(layout.outputs - first);
        // Of a word for each lane, or two.
        let mut turned = [0.0; 9 * 2 * BLOCK * 32];
        let block = BLOCK * E::PACK;
        let apart = layout.stride();
        let mut times = Times::new();
        // SAFETY: `pack` has checked the length; each item has its own panel and depths.
        unsafe {
            if fixed::<E>() {
                for start in depth.clone().step_by(block) {
                    let taps = plain.taps::<V>(first, width, start..start + block, &mut turned);
                    taps.measure::<L, V>(0..block, width, &mut times);
                }
                times.scale::<V>(form, width, to.add(layout.units() + first), apart);
            }
            for start in depth.step_by(block) {
                let taps = plain.taps::<V>(first, width, start..start + block, &mut turned);
                // Words of this panel: all panels before it are whole.
                let to = to.add(first * layout.depth + start / E::PACK * width);
                taps.elements::<L, E, V>(0..block, width, &times, to, apart);
            }
        }
    }
}

/// For each of 36 elements and two vectors of outputs: sums of squares, then what values are
/// multiplied with to become integers.
pub(super) struct Times([[f32; 32]; 36]);

impl Times {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Times([[0.0; 32]; 36])
    }

    /// From sums of squares. `units` have `apart` words from one element to the next.
    ///
    /// # Safety
    /// They must have room for `width` outputs of each element.
    #[inline(always)]
    pub(super) unsafe fn scale<V: Vector>(
        &mut self,
        form: Form,
        width: usize,
        units: *mut f32,
        apart: usize,
    ) {
        for (e, times) in self.0.iter_mut().enumerate() {
            let (norm, _) = form.norms(e);
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract, and there are 32 lanes here.
                unsafe {
                    let (times, units) =
                        (times.as_mut_ptr().add(lane), units.add(e * apart + lane));
                    let energy = Energy { total: V::load(times), most: V::zero() };
                    energy.scales(product::WEIGHT, times, units);
                    // Elements of tiles were divided by their norms.
                    V::load(units).mul(V::splat(norm)).store(units);
                }
            }
        }
    }
}

impl Plain<'_> {
    /// The weights of `width` outputs from `first` on and of some values of the depth, brought
    /// together in `turned`.
    #[inline(always)]
    pub(super) fn taps<V: Vector>(
        &self,
        first: usize,
        width: usize,
        depth: Range<usize>,
        turned: &mut [f32],
    ) -> Taps {
        let channels = self.in_channels;
        let (row, count) = (9 * channels, depth.len());
        assert!(turned.len() >= 9 * count * width && width.is_multiple_of(V::LANES));
        if self.backward {
            assert!(first + width <= channels && self.weights.len() >= row * depth.end);
            let plain = Plain { weights: &self.weights[row * depth.start..], ..*self };
            // SAFETY: as checked.
            unsafe { plain.gather::<V>((first, width), 0..9 * count, 0..0, turned.as_mut_ptr()) };
            return Taps::gathered(turned, width);
        }
        let from = &self.weights[first * row..(first + width) * row];
        assert!(depth.end <= channels && count.is_multiple_of(V::LANES));
        assert!(self.factors.is_none_or(|f| f.len() >= first + width));
        // Along the rows, which a machine sees as streams.
        for lane in (0..width).step_by(V::LANES) {
            for window in 0..9 {
                for k in (0..count).step_by(V::LANES) {
                    let from = &from[lane * row + window * channels + depth.start + k..];
                    let to = (window * count + k) * width + lane;
                    // SAFETY: LANES rows of LANES values, within both, as checked above.
                    unsafe {
                        let to = turned.as_mut_ptr().add(to);
                        V::transpose(from.as_ptr(), row, to, width);
                        if let Some(factors) = self.factors {
                            let factor = V::load(factors.as_ptr().add(first + lane));
                            for k in 0..V::LANES {
                                let to = to.add(k * width);
                                V::load(to).mul(factor).store(to);
                            }
                        }
                    }
                }
            }
        }
        Taps { start: turned.as_ptr(), window: (count * width) as isize, value: width }
    }

    /// Copies some rows of the weights, of which each value of the depth has nine, to where
    /// [`Taps::gathered`] finds them: in place they are far apart, by a power of two at that, so that
    /// few fit in a cache. Asks for others.
    ///
    /// # Safety
    /// The weights must have these rows, of at least `first + width` inputs, and `to` room for all.
    #[inline(always)]
    pub(super) unsafe fn gather<V: Vector>(
        &self,
        (first, width): (usize, usize),
        rows: Range<usize>,
        next: Range<usize>,
        to: *mut f32,
    ) {
        for row in next {
            for lane in (0..width).step_by(BLOCK) {
                let at = row * self.in_channels + first + lane;
                V::prefetch(self.weights.as_ptr().wrapping_add(at));
            }
        }
        for row in rows {
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract.
                unsafe {
                    let from = self.weights.as_ptr().add(row * self.in_channels + first + lane);
                    V::load(from).store(to.add(row * width + lane));
                }
            }
        }
    }
}

/// The nine weights of each value of the depth, with outputs next to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    start: *const f32,
    /// Words from one position of the window to the next.
    window: isize,
    /// Words from one value of the depth to the next.
    value: usize,
}

impl Taps {
    /// Of what [`Plain::gather`] brings together.
    pub(super) fn gathered(rows: &[f32], width: usize) -> Self {
        // Turned by half a circle.
        Taps { start: rows[8 * width..].as_ptr(), window: -(width as isize), value: 9 * width }
    }

    /// Adds squares of elements of some values of the depth.
    ///
    /// # Safety
    /// The weights must be there, `width` of them a multiple of the lanes and at most 32.
    #[inline(always)]
    pub(super) unsafe fn measure<L: Line<3, 6>, V: Vector>(
        &self,
        depth: Range<usize>,
        width: usize,
        squares: &mut Times,
    ) {
        assert!(depth.len().is_multiple_of(2));
        for lane in (0..width).step_by(V::LANES) {
            for k in depth.clone().step_by(2) {
                // SAFETY: the caller's contract.
                unsafe {
                    // Two, since sums go through memory.
                    let half = self.columns::<L, V>(k, lane);
                    let other = self.columns::<L, V>(k + 1, lane);
                    for i in 0..6 {
                        let (line, other) = (L::line(half.row(i)), L::line(other.row(i)));
                        for (j, (u, other)) in line.into_iter().zip(other).enumerate() {
                            let sum = squares.0[6 * i + j].as_mut_ptr().add(lane);
                            other.mul_add(other, u.mul_add(u, V::load(sum))).store(sum);
                        }
                    }
                }
            }
        }
    }

    /// Elements of some values of the depth: `[word][width]`, elements `stride` words apart.
    ///
    /// # Safety
    /// The weights must be there, `width` of them a multiple of the lanes and at most 32; `to` must
    /// have room.
    #[inline(always)]
    pub(super) unsafe fn elements<L: Line<3, 6>, E: Element, V: Vector>(
        &self,
        depth: Range<usize>,
        width: usize,
        times: &Times,
        to: *mut f32,
        stride: usize,
    ) {
        for word in 0..depth.len() / E::PACK {
            let (k, next) = depths::<E, V>(word);
            for lane in (0..width).step_by(V::LANES) {
                // SAFETY: the caller's contract.
                unsafe {
                    let half = self.columns::<L, V>(depth.start + k, lane);
                    let mut other = Half::new();
                    if fixed::<E>() {
                        other = self.columns::<L, V>(depth.start + next, lane);
                    }
                    for i in 0..6 {
                        let mut line = L::line(half.row(i));
                        if fixed::<E>() {
                            for (j, next) in L::line(other.row(i)).into_iter().enumerate() {
                                let times = V::load(times.0[6 * i + j].as_ptr().add(lane));
                                line[j] = V::pair_i16(line[j], next, times);
                            }
                        }
                        let to = to.add(i * 6 * stride + word * width + lane);
                        for (j, u) in line.into_iter().enumerate() {
                            u.store(to.add(j * stride));
                        }
                    }
                }
            }
        }
    }

    /// `G g` of a value of the depth, for a vector of outputs.
    ///
    /// # Safety
    /// The weights must be there.
    #[inline(always)]
    unsafe fn columns<L: Line<3, 6>, V: Vector>(&self, k: usize, lane: usize) -> Half<V, 6, 3> {
        let mut half = Half::new();
        for column in 0..3 {
            let mut g = [V::zero(); 3];
            for (row, g) in g.iter_mut().enumerate() {
                let window = (3 * row + column) as isize * self.window;
                // SAFETY: the caller's contract.
                *g = unsafe { V::load(self.start.add(k * self.value + lane).offset(window)) };
            }
            half.set(column, L::line(&g));
        }
        half
    }
}

/// Where sums of a gradient of weights lie, `[part][element][out][in]`, in words.
#[derive(Clone, Copy)]
pub(super) struct Apart {
    /// From one element to the next.
    pub(super) elements: usize,
    /// From one part of the batch to the next.
    pub(super) parts: usize,
    /// How many parts there are.
    pub(super) count: usize,
}

/// `G^T U G`: sums, over all parts in order, to `dw[out][3][3][in]`.
pub(super) fn unpack(
    cpu: &Cpu,
    form: Form,
    sums: &[f32],
    apart: Apart,
    (in_channels, out_channels): (usize, usize),
    dw: &mut [f32],
) {
    let rows = Parts::new(dw, 9 * in_channels);
    assert!(sums.len() >= apart.count * apart.parts);
    assert!(apart.parts >= form.weights() * apart.elements);
    assert!(apart.elements >= in_channels * out_channels);
    cpu.pool().run(out_channels, &|_, out| {
        // SAFETY: each item takes its own part.
        let dw = unsafe { rows.get(out) };
        cpu.isa().dispatch(Unpack { form, sums: &sums[out * in_channels..], apart, dw });
    });
}

struct Unpack<'a> {
    form: Form,
    sums: &'a [f32],
    apart: Apart,
    dw: &'a mut [f32],
}

impl Kernel for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Unpack { form, sums, apart, dw } = self;
        let channels = dw.len() / 9;
        // SAFETY: `unpack` has checked the lengths.
        unsafe {
            form.unpack_row::<V>(sums.as_ptr(), apart, channels, dw.as_mut_ptr(), channels);
        }
    }
}

/// One output channel: sums to nine taps `tap` words apart.
///
/// # Safety
/// Each element must hold `channels` values, a multiple of the lanes, and each tap have room for
/// them.
#[inline(always)]
pub(super) unsafe fn unpack_row<L: Line<N, 3>, V: Vector, const N: usize>(
    sums: *const f32,
    apart: Apart,
    channels: usize,
    dw: *mut f32,
    tap: usize,
) {
    for channel in (0..channels).step_by(V::LANES) {
        let mut half = Half::<V, 3, N>::new();
        for j in 0..N {
            let mut u = [V::zero(); N];
            for (i, u) in u.iter_mut().enumerate() {
                // SAFETY: the caller's contract.
                unsafe {
                    let sums = sums.add((i * N + j) * apart.elements + channel);
                    *u = V::load(sums);
                    for part in 1..apart.count {
                        *u = u.add(V::load(sums.add(part * apart.parts)));
                    }
                }
            }
            half.set(j, L::line(&u));
        }
        for i in 0..3 {
            // SAFETY: all columns are set.
            let line = L::line(unsafe { half.row(i) });
            for (j, g) in line.into_iter().enumerate() {
                // SAFETY: the caller's contract.
                unsafe { g.store(dw.add((3 * i + j) * tap + channel)) };
            }
        }
    }
}
