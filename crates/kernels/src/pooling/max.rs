//! Max pooling.

use crate::{
    check::{at_least, product},
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    layout::padded,
    scalar::{Scalar, by_scalar},
    values::{Values, ValuesMut},
};

/// `torch.nn.MaxPool2d` over images of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Channels.
    pub channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Side of the window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Border of negative infinity; at most half the window.
    pub padding: usize,
}

impl MaxPool {
    /// Values of a batch of the input, and of the output.
    ///
    /// # Panics
    /// If the window does not fit, padding is more than half of it, or there are more values than
    /// memory can hold.
    #[track_caller]
    fn check(&self, batch: usize) -> (usize, usize) {
        let MaxPool { channels, height, width, kernel, stride, padding } = *self;
        assert!(stride > 0 && padding <= kernel / 2 && kernel > 0 && channels > 0, "{self:?}");
        let side = padding.checked_mul(2).and_then(|border| border.checked_add(height.min(width)));
        assert!(side.is_some_and(|side| side >= kernel), "{self:?}: the window does not fit");
        let input = product(&[batch, height, width, padded(channels)]);
        // The output has a pixel for each of the input at most, and for one in the border.
        let most = |side: usize| side.saturating_add(1);
        product(&[batch.max(1), most(height), most(width), padded(channels)]);
        (input, batch * self.out_len())
    }

    fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    fn in_len(&self) -> usize {
        self.height * self.width * padded(self.channels)
    }

    fn out_len(&self) -> usize {
        self.out_height() * self.out_width() * padded(self.channels)
    }

    /// Starts of the input pixels under a window, row by row.
    #[inline(always)]
    fn window(&self, y: usize, x: usize) -> impl Iterator<Item = usize> + use<> {
        let s = *self;
        let range = move |at: usize, size: usize| {
            let start = at * s.stride;
            start.saturating_sub(s.padding)..(start + s.kernel - s.padding).min(size)
        };
        range(y, s.height).flat_map(move |iy| {
            range(x, s.width).map(move |ix| (iy * s.width + ix) * padded(s.channels))
        })
    }

    /// The largest value under each window: `out[n][height][width][channels]` of
    /// `x[n][height][width][channels]`.
    ///
    /// # Panics
    /// If dtypes differ, there are too few values, or a window may lie in the padding alone.
    pub fn forward(&self, cpu: &Cpu, batch: usize, x: Values<'_>, out: ValuesMut<'_>) {
        let (input, output) = self.check(batch);
        at_least("input", x.len(), input);
        at_least("output", out.len(), output);
        by_scalar!(x.dtype(), T => self.forward_of(cpu, batch, T::slice(x), T::slice_mut(out)));
    }

    fn forward_of<T: Scalar>(&self, cpu: &Cpu, batch: usize, x: &[T], out: &mut [T]) {
        let outs = DisjointChunks::new(&mut out[..batch * self.out_len()], self.out_len());
        cpu.pool().run_chunks(batch, outs, |image, out| {
            let x = &x[image * self.in_len()..][..self.in_len()];
            cpu.isa().dispatch(MaxForward { s: self, x, out });
        });
    }

    /// The gradient of the input, stored or added. The gradient of a window goes to the first of
    /// its largest values, as in PyTorch.
    ///
    /// # Panics
    /// As [`MaxPool::forward`].
    pub fn backward(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Values<'_>,
        out: Values<'_>,
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
            self.backward_of(cpu, batch, x, out, gradient, T::slice_mut(dx), accumulate)
        });
    }

    fn backward_of<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[T],
        out: &[T],
        gradient: &[T],
        dx: &mut [T],
        accumulate: bool,
    ) {
        let parts = DisjointChunks::new(&mut dx[..batch * self.in_len()], self.in_len());
        cpu.pool().run_chunks(batch, parts, |image, dx| {
            if !accumulate {
                dx.fill(T::default());
            }
            let x = &x[image * self.in_len()..][..self.in_len()];
            let out = &out[image * self.out_len()..][..self.out_len()];
            let gradient = &gradient[image * self.out_len()..][..self.out_len()];
            cpu.isa().dispatch(MaxBackward { s: self, x, out, gradient, dx });
        });
    }
}

struct MaxForward<'a, T> {
    s: &'a MaxPool,
    x: &'a [T],
    out: &'a mut [T],
}

impl<T: Scalar> Kernel for MaxForward<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (s, stored) = (self.s, padded(self.s.channels));
        for (pixel, out) in self.out.chunks_exact_mut(stored).enumerate() {
            let (y, x) = (pixel / s.out_width(), pixel % s.out_width());
            for channel in (0..stored).step_by(V::LANES) {
                let mut best = V::splat(f32::NEG_INFINITY);
                for start in s.window(y, x) {
                    best = best.max(T::read(&self.x[start + channel..]));
                }
                T::write(best, &mut out[channel..]);
            }
        }
    }
}

struct MaxBackward<'a, T> {
    s: &'a MaxPool,
    x: &'a [T],
    out: &'a [T],
    gradient: &'a [T],
    dx: &'a mut [T],
}

impl<T: Scalar> Kernel for MaxBackward<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (s, stored) = (self.s, padded(self.s.channels));
        for (pixel, out) in self.out.chunks_exact(stored).enumerate() {
            let (y, x) = (pixel / s.out_width(), pixel % s.out_width());
            for channel in (0..stored).step_by(V::LANES) {
                let at = pixel * stored + channel;
                let best: V = T::read(&out[channel..]);
                let mut rest: V = T::read(&self.gradient[at..]);
                for start in s.window(y, x) {
                    let (from, to) = (&self.x[start + channel..], &mut self.dx[start + channel..]);
                    let share = rest.where_equal(T::read(from), best);
                    rest = rest.sub(share);
                    T::write(share.add(T::read(to)), to);
                }
            }
        }
    }
}
