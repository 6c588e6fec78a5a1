//! Max pooling over a whole image.

use crate::{
    check::{at_least, product},
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    layout::padded,
    scalar::{Scalar, by_scalar},
    values::{Values, ValuesMut},
};

/// The largest value of each channel over an image: `torch.nn.AdaptiveMaxPool2d(1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalMaxPool {
    /// Channels.
    pub channels: usize,
    /// Pixels of an image.
    pub pixels: usize,
}

impl GlobalMaxPool {
    fn in_len(&self) -> usize {
        product(&[self.pixels, padded(self.channels)])
    }

    /// Values of a batch of the input, and of the output.
    ///
    /// # Panics
    /// If a size is 0, or there are more values than memory can hold.
    #[track_caller]
    fn check(&self, batch: usize) -> (usize, usize) {
        assert!(self.pixels > 0 && self.channels > 0, "{self:?}: a size is 0");
        (product(&[batch, self.in_len()]), product(&[batch, padded(self.channels)]))
    }

    /// The largest values: `out[n][channels]` of `x[n][pixels][channels]`.
    ///
    /// # Panics
    /// If dtypes differ, a size is 0, or there are too few values.
    pub fn forward(&self, cpu: &Cpu, batch: usize, x: Values<'_>, out: ValuesMut<'_>) {
        let (input, output) = self.check(batch);
        at_least("input", x.len(), input);
        at_least("output", out.len(), output);
        by_scalar!(x.dtype(), T => self.forward_of(cpu, batch, T::slice(x), T::slice_mut(out)));
    }

    fn forward_of<T: Scalar>(&self, cpu: &Cpu, batch: usize, x: &[T], out: &mut [T]) {
        let stored = padded(self.channels);
        let outs = DisjointChunks::new(&mut out[..batch * stored], stored);
        cpu.pool().run_chunks(batch, outs, |image, out| {
            cpu.isa().dispatch(Forward { x: &x[image * self.in_len()..][..self.in_len()], out });
        });
    }

    /// The gradient of the input, stored or added. The gradient of a channel goes to the first of its
    /// largest values, as in PyTorch.
    ///
    /// # Panics
    /// As [`GlobalMaxPool::forward`].
    pub fn backward(
        &self,
        cpu: &Cpu,
        batch: usize,
        (x, out): (Values<'_>, Values<'_>),
        gradient: Values<'_>,
        dx: ValuesMut<'_>,
        accumulate: bool,
    ) {
        let (input, output) = self.check(batch);
        at_least("input", x.len(), input);
        at_least("output", out.len(), output);
        at_least("gradient of the output", gradient.len(), output);
        at_least("gradient of the input", dx.len(), input);
        by_scalar!(x.dtype(), T => {
            let (x, out, gradient) = (T::slice(x), T::slice(out), T::slice(gradient));
            self.backward_of(cpu, batch, [x, out, gradient], T::slice_mut(dx), accumulate)
        });
    }

    fn backward_of<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        [x, out, gradient]: [&[T]; 3],
        dx: &mut [T],
        accumulate: bool,
    ) {
        let stored = padded(self.channels);
        let parts = DisjointChunks::new(&mut dx[..batch * self.in_len()], self.in_len());
        cpu.pool().run_chunks(batch, parts, |image, dx| {
            let x = &x[image * self.in_len()..][..self.in_len()];
            let [out, gradient] = [out, gradient].map(|of| &of[image * stored..][..stored]);
            cpu.isa().dispatch(Backward { x, out, gradient, dx, accumulate });
        });
    }
}

/// One image.
struct Forward<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
}

impl<T: Scalar> Kernel for Forward<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let stored = self.out.len();
        for channel in (0..stored).step_by(V::LANES) {
            let mut best = V::splat(f32::NEG_INFINITY);
            for pixel in self.x.chunks_exact(stored) {
                best = best.max(T::read(&pixel[channel..]));
            }
            T::write(best, &mut self.out[channel..]);
        }
    }
}

/// One image.
struct Backward<'a, T> {
    x: &'a [T],
    out: &'a [T],
    gradient: &'a [T],
    dx: &'a mut [T],
    accumulate: bool,
}

impl<T: Scalar> Kernel for Backward<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let stored = self.out.len();
        for channel in (0..stored).step_by(V::LANES) {
            let best: V = T::read(&self.out[channel..]);
            let mut rest: V = T::read(&self.gradient[channel..]);
            let pixels = self.x.chunks_exact(stored).zip(self.dx.chunks_exact_mut(stored));
            for (from, to) in pixels {
                let share = rest.where_equal(T::read(&from[channel..]), best);
                rest = rest.sub(share);
                let to = &mut to[channel..];
                let base = if self.accumulate { T::read(to) } else { V::zero() };
                T::write(base.add(share), to);
            }
        }
    }
}
