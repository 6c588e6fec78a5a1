//! Weights to elements, and gradients of elements to those of weights.

use super::{tiles::BLOCK, transform};
use crate::{
    cpu::Cpu,
    element::Element,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// Where transformed weights lie: `[element][panel of outputs][k word][2 vectors]`.
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
        self.outputs * self.depth + BLOCK
    }

    pub(super) fn len(&self, elements: usize) -> usize {
        elements * self.stride()
    }
}

/// Transforms `[out][3][3][in]` weights. Forward: lanes are output channels, each times its factor.
/// Backward: the window is turned by half a circle, lanes are input channels.
pub(super) fn pack<E: Element>(
    cpu: &Cpu,
    weights: &[f32],
    (in_channels, out_channels): (usize, usize),
    factors: Option<&[f32]>,
    backward: bool,
    packed: &mut [f32],
) {
    let (outputs, depth) =
        if backward { (in_channels, out_channels) } else { (out_channels, in_channels) };
    let layout = Packed { outputs, depth: depth / E::PACK };
    let wide = 2 * cpu.isa().lanes();
    let depths = depth / BLOCK;
    assert!(packed.len() >= layout.len(if E::PACK == 1 { 36 } else { 16 }));
    let packed = Parts::new(packed, 0);
    cpu.pool().run(outputs.div_ceil(wide) * depths, &|_, item| {
        let (panel, block) = (item / depths, item % depths);
        cpu.isa().dispatch(Pack::<E> {
            weights,
            in_channels,
            factors,
            backward,
            layout,
            first: panel * wide,
            block,
            packed: packed.as_mut_ptr(),
            element: std::marker::PhantomData,
        });
    });
}

/// A panel of outputs by [`BLOCK`] values of the depth.
struct Pack<'a, E> {
    weights: &'a [f32],
    in_channels: usize,
    factors: Option<&'a [f32]>,
    backward: bool,
    layout: Packed,
    first: usize,
    block: usize,
    packed: *mut f32,
    element: std::marker::PhantomData<E>,
}

impl<E: Element> Kernel for Pack<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        if E::PACK == 1 {
            self.elements::<V, 6>();
        } else {
            self.elements::<V, 4>();
        }
    }
}

impl<E: Element> Pack<'_, E> {
    #[inline(always)]
    fn elements<V: Vector, const N: usize>(&self) {
        let wide = 2 * V::LANES;
        let width = wide.min(self.layout.outputs - self.first);
        let stride = self.layout.stride();
        // Words of this panel: all panels before it are `wide`.
        let start = self.first * self.layout.depth + self.block * BLOCK / E::PACK * width;
        for lane in (0..width).step_by(V::LANES) {
            // `[window][depth][lane]` of one vector of outputs.
            let mut taps = [[0.0f32; BLOCK * 16]; 9];
            for (window, taps) in taps.iter_mut().enumerate() {
                self.load::<V>(window, self.first + lane, taps);
            }
            for k in (0..BLOCK).step_by(E::PACK) {
                let mut u: [[V; N]; N] = element(&taps, k);
                if E::PACK == 2 {
                    let second: [[V; N]; N] = element(&taps, k + 1);
                    for (u, second) in u.as_flattened_mut().iter_mut().zip(second.as_flattened()) {
                        *u = V::pair_bf16(*u, *second);
                    }
                }
                let to = start + k / E::PACK * width + lane;
                for (e, u) in u.as_flattened().iter().enumerate() {
                    // SAFETY: `pack` has checked the length; each item has its own panel and depths.
                    unsafe { u.store(self.packed.add(e * stride + to)) };
                }
            }
        }
    }

    /// The weights of one position of the window: `[depth][lane]`.
    #[inline(always)]
    fn load<V: Vector>(&self, window: usize, first: usize, out: &mut [f32; BLOCK * 16]) {
        let depth = self.block * BLOCK;
        let at =
            |out: usize, window: usize, input: usize| (out * 9 + window) * self.in_channels + input;
        if self.backward {
            for (k, out) in out.chunks_exact_mut(V::LANES).enumerate().take(BLOCK) {
                let from = &self.weights[at(depth + k, 8 - window, first)..][..V::LANES];
                out.copy_from_slice(from);
            }
            return;
        }
        let factors = self.factors.map(|f| &f[first..first + V::LANES]);
        for k in (0..BLOCK).step_by(V::LANES) {
            let from = at(first, window, depth + k);
            let rows = &self.weights[from..];
            assert!(rows.len() >= (V::LANES - 1) * 9 * self.in_channels + V::LANES);
            let to = &mut out[k * V::LANES..][..V::LANES * V::LANES];
            // SAFETY: checked above; `to` holds LANES rows.
            unsafe {
                V::transpose(rows.as_ptr(), 9 * self.in_channels, to.as_mut_ptr(), V::LANES);
            }
        }
        if let Some(factors) = factors {
            // SAFETY: both hold LANES values.
            unsafe {
                let factor = V::load(factors.as_ptr());
                for out in out.chunks_exact_mut(V::LANES).take(BLOCK) {
                    V::load(out.as_ptr()).mul(factor).store(out.as_mut_ptr());
                }
            }
        }
    }
}

/// `G g G^T` of value `k` of the depth, from `[window][depth][lane]`.
#[inline(always)]
fn element<V: Vector, const N: usize>(taps: &[[f32; BLOCK * 16]; 9], k: usize) -> [[V; N]; N] {
    let mut half = [[V::zero(); 3]; N];
    for column in 0..3 {
        let mut g = [V::zero(); 3];
        for (row, g) in g.iter_mut().enumerate() {
            // SAFETY: LANES values from each `k * LANES`.
            *g = unsafe { V::load(taps[3 * row + column][k * V::LANES..].as_ptr()) };
        }
        for (half, value) in half.iter_mut().zip(transform::weight::<V, N>(&g)) {
            half[column] = value;
        }
    }
    let mut out = [[V::zero(); N]; N];
    for (out, half) in out.iter_mut().zip(&half) {
        *out = transform::weight(half);
    }
    out
}

/// `G^T U G`: sums `[element][out][in]` to `dw[out][3][3][in]`.
pub(super) fn unpack<E: Element>(
    cpu: &Cpu,
    sums: &[f32],
    stride: usize,
    (in_channels, out_channels): (usize, usize),
    dw: &mut [f32],
) {
    let rows = Parts::new(dw, 9 * in_channels);
    assert!(sums.len() >= (if E::PACK == 1 { 36 } else { 16 }) * stride);
    assert!(stride >= in_channels * out_channels);
    cpu.pool().run(out_channels, &|_, out| {
        // SAFETY: each item takes its own part.
        let dw = unsafe { rows.get(out) };
        let sums = &sums[out * in_channels..];
        cpu.isa().dispatch(Unpack { sums, stride, four: E::PACK == 1, dw });
    });
}

struct Unpack<'a> {
    sums: &'a [f32],
    stride: usize,
    four: bool,
    dw: &'a mut [f32],
}

impl Kernel for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let (sums, stride, channels) = (self.sums.as_ptr(), self.stride, self.dw.len() / 9);
        let dw = self.dw.as_mut_ptr();
        // SAFETY: `unpack` has checked the lengths.
        unsafe {
            if self.four {
                unpack_row::<V, 6>(sums, stride, channels, dw, channels);
            } else {
                unpack_row::<V, 4>(sums, stride, channels, dw, channels);
            }
        }
    }
}

/// One output channel: sums `stride` words apart to nine taps `tap` words apart.
///
/// # Safety
/// Each element must hold `channels` values, a multiple of the lanes, and each tap have room for
/// them.
#[inline(always)]
pub(super) unsafe fn unpack_row<V: Vector, const N: usize>(
    sums: *const f32,
    stride: usize,
    channels: usize,
    dw: *mut f32,
    tap: usize,
) {
    for channel in (0..channels).step_by(V::LANES) {
        let mut half = [[V::zero(); N]; 3];
        for j in 0..N {
            let mut u = [V::zero(); N];
            for (i, u) in u.iter_mut().enumerate() {
                // SAFETY: the caller's contract.
                *u = unsafe { V::load(sums.add((i * N + j) * stride + channel)) };
            }
            for (half, value) in half.iter_mut().zip(transform::weight_adjoint::<V, N>(&u)) {
                half[j] = value;
            }
        }
        for (i, row) in half.iter().enumerate() {
            for (j, g) in transform::weight_adjoint::<V, N>(row).into_iter().enumerate() {
                // SAFETY: the caller's contract.
                unsafe { g.store(dw.add((3 * i + j) * tap + channel)) };
            }
        }
    }
}
