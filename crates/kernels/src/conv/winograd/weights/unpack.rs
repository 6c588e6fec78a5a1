//! The transform of gradients of coefficients to gradients of weights.

use std::marker::PhantomData;

use crate::{
    chunks::DisjointChunks,
    conv::winograd::{
        quantise::{channel_at, is_int16},
        transform::{HalfTransformed, Transform1d, strided, unit_stride},
        variant::Variant,
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// The strides of sums of a gradient of weights, `[part][coefficient][out][in]`, in words.
#[derive(Clone, Copy)]
pub(in crate::conv::winograd) struct Strides {
    /// From one coefficient to the next.
    pub(in crate::conv::winograd) coefficients: usize,
    /// From one part of the batch to the next.
    pub(in crate::conv::winograd) parts: usize,
    /// The number of parts.
    pub(in crate::conv::winograd) count: usize,
}

/// `dw[out][3][3][in] = G^T U G`, where `U` is the sum over all parts, in order.
pub(in crate::conv::winograd) fn unpack<T: Scalar>(
    cpu: &Cpu,
    variant: Variant,
    sums: &[f32],
    strides: Strides,
    (in_channels, out_channels): (usize, usize),
    dw: &mut [f32],
) {
    assert!(dw.len() >= out_channels * 9 * in_channels);
    assert!(sums.len() >= strides.count * strides.parts);
    assert!(strides.parts >= variant.weight_coefficients() * strides.coefficients);
    assert!(strides.coefficients >= in_channels * out_channels);
    let dw = DisjointChunks::new(dw, 0);
    cpu.pool().run(out_channels, &|_, place| {
        let (dw, scalar) = (dw.as_mut_ptr(), PhantomData::<T>);
        cpu.isa().dispatch(Unpack {
            variant,
            sums,
            strides,
            place,
            channels: in_channels,
            dw,
            scalar,
        });
    });
}

struct Unpack<'a, T> {
    variant: Variant,
    sums: &'a [f32],
    strides: Strides,
    /// Position of the output channel.
    place: usize,
    /// Input channels.
    channels: usize,
    dw: *mut f32,
    scalar: PhantomData<T>,
}

impl<T: Scalar> Kernel for Unpack<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let Unpack { variant, sums, strides, place, channels, dw, .. } = self;
        // SAFETY: `unpack` has checked the lengths; each item has its own channel.
        unsafe {
            let sums = sums.as_ptr().add(place * channels);
            let dw = dw.add(channel_at::<T, V>(place) * 9 * channels);
            unpack_row::<T, V>(variant, sums, strides, channels, dw, channels);
        }
    }
}

/// Transforms the sums of one output channel to nine taps `tap` words apart, by the adjoint of the
/// variant's weight transform. Input channels of the sums are [deinterleaved](channel_at).
///
/// # Safety
/// Each coefficient must hold `channels` values, a multiple of the values of a vector of words, and
/// each tap have room for them.
#[inline(always)]
pub(in crate::conv::winograd) unsafe fn unpack_row<T: Scalar, V: Vector>(
    variant: Variant,
    sums: *const f32,
    strides: Strides,
    channels: usize,
    dw: *mut f32,
    tap: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match variant {
            Variant::UnitStride => {
                row::<unit_stride::WeightAdjoint, T, V, 6>(sums, strides, channels, dw, tap)
            }
            Variant::Strided => {
                row::<strided::WeightAdjoint, T, V, 6>(sums, strides, channels, dw, tap)
            }
        }
    }
}

/// [`unpack_row`] by `L`.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn row<L: Transform1d<N, 3>, T: Scalar, V: Vector, const N: usize>(
    sums: *const f32,
    strides: Strides,
    channels: usize,
    dw: *mut f32,
    tap: usize,
) {
    let whole = |bytes: usize| bytes.is_multiple_of(V::LANES * size_of::<f32>());
    let stream = tap >= STREAMED_CHANNELS && whole(dw as usize) && whole(tap * size_of::<f32>());
    for channel in (0..channels).step_by(V::LANES * T::PACK) {
        // SAFETY: the caller's contract.
        unsafe {
            let first = taps::<L, V, N>(sums.add(channel), strides);
            let mut both = [first, first];
            if is_int16::<T>() {
                both[1] = taps::<L, V, N>(sums.add(channel + V::LANES), strides);
            }
            for i in 0..9 {
                let to = dw.add(i * tap + channel);
                if is_int16::<T>() {
                    let [low, high] = V::interleave(both[0][i], both[1][i]);
                    write(low, to, stream);
                    write(high, to.add(V::LANES), stream);
                } else {
                    write(both[0][i], to, stream);
                }
            }
        }
    }
    if stream {
        V::fence();
    }
}

/// The number of input channels from which gradients are written past the caches: with as many outputs they
/// have 2.4 MB, and the update reads them much later.
const STREAMED_CHANNELS: usize = 256;

/// # Safety
/// `to` must hold a vector, aligned if it is to `stream`.
#[inline(always)]
unsafe fn write<V: Vector>(value: V, to: *mut f32, stream: bool) {
    // SAFETY: the caller's contract.
    unsafe { if stream { value.stream(to) } else { value.store(to) } }
}

/// The nine taps of a vector of input channels.
///
/// # Safety
/// Each coefficient must hold the vector.
#[inline(always)]
unsafe fn taps<L: Transform1d<N, 3>, V: Vector, const N: usize>(
    sums: *const f32,
    strides: Strides,
) -> [V; 9] {
    let mut half = HalfTransformed::<V, 3, N>::new();
    for j in 0..N {
        let mut u = [V::zero(); N];
        for (i, u) in u.iter_mut().enumerate() {
            // SAFETY: the caller's contract.
            unsafe {
                let sums = sums.add((i * N + j) * strides.coefficients);
                *u = V::load(sums);
                for part in 1..strides.count {
                    *u = u.add(V::load(sums.add(part * strides.parts)));
                }
            }
        }
        half.set(j, L::apply(&u));
    }
    let mut taps = [V::zero(); 9];
    for (i, taps) in taps.chunks_exact_mut(3).enumerate() {
        // SAFETY: all columns are set.
        taps.copy_from_slice(&L::apply(unsafe { half.row(i) }));
    }
    taps
}
