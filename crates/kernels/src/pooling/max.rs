//! Max pooling.

use std::ops::Range;

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

    /// The rows and columns under the window of an output pixel.
    #[inline(always)]
    fn window(&self, pixel: usize) -> [Range<usize>; 2] {
        let range = |at: usize, size: usize| {
            let start = at * self.stride;
            start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(size)
        };
        let (y, x) = (pixel / self.out_width(), pixel % self.out_width());
        [range(y, self.height), range(x, self.width)]
    }

    /// Whether no pixel is under two windows, and whether each is under one.
    fn cover(&self) -> (bool, bool) {
        let MaxPool { height, width, kernel, stride, padding, .. } = *self;
        let divides = |side: usize| side.is_multiple_of(kernel);
        let all = kernel == stride && padding == 0 && divides(height) && divides(width);
        (kernel <= stride, all)
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
        let (disjoint, all) = self.cover();
        cpu.pool().run_chunks(batch, parts, |image, dx| {
            if !accumulate && !all {
                dx.fill(T::default());
            }
            let x = &x[image * self.in_len()..][..self.in_len()];
            let out = &out[image * self.out_len()..][..self.out_len()];
            let gradient = &gradient[image * self.out_len()..][..self.out_len()];
            let add = accumulate || !disjoint;
            cpu.isa().dispatch(MaxBackward { s: self, x, out, gradient, dx, add });
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
            let [rows, columns] = s.window(pixel);
            for channel in (0..stored).step_by(V::LANES) {
                let mut best = V::splat(f32::NEG_INFINITY);
                for y in rows.clone() {
                    for x in columns.clone() {
                        best = best.max(T::read(&self.x[(y * s.width + x) * stored + channel..]));
                    }
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
    /// Whether to add to what is there.
    add: bool,
}

impl<T: Scalar> Kernel for MaxBackward<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (s, stored) = (self.s, padded(self.s.channels));
        for (pixel, out) in self.out.chunks_exact(stored).enumerate() {
            let [rows, columns] = s.window(pixel);
            for channel in (0..stored).step_by(V::LANES) {
                let at = pixel * stored + channel;
                let best: V = T::read(&out[channel..]);
                let mut rest: V = T::read(&self.gradient[at..]);
                for y in rows.clone() {
                    for x in columns.clone() {
                        let start = (y * s.width + x) * stored + channel;
                        let (from, to) = (&self.x[start..], &mut self.dx[start..]);
                        let share = rest.where_equal(T::read(from), best);
                        rest = rest.sub(share);
                        let sum = if self.add { share.add(T::read(to)) } else { share };
                        T::write(sum, to);
                    }
                }
            }
        }
    }
}
