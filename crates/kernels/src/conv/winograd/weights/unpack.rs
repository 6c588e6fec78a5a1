//! Gradients of elements to those of weights.

use crate::{
    conv::winograd::{
        form::Form,
        transform::{Half, Line},
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// Where sums of a gradient of weights lie, `[part][element][out][in]`, in words.
#[derive(Clone, Copy)]
pub(in crate::conv::winograd) struct Apart {
    /// From one element to the next.
    pub(in crate::conv::winograd) elements: usize,
    /// From one part of the batch to the next.
    pub(in crate::conv::winograd) parts: usize,
    /// How many parts there are.
    pub(in crate::conv::winograd) count: usize,
}

/// `G^T U G`: sums, over all parts in order, to `dw[out][3][3][in]`.
pub(in crate::conv::winograd) fn unpack(
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
pub(in crate::conv::winograd) unsafe fn unpack_row<L: Line<N, 3>, V: Vector, const N: usize>(
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
