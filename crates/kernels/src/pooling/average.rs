//! Average pooling: over windows, and over a whole image.

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

/// The mean over windows next to each other; those at the edges are cut off:
/// `torch.nn.AvgPool2d(kernel, ceil_mode=True, count_include_pad=False)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool {
    /// Channels.
    pub channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Side of the window, and step between windows.
    pub kernel: usize,
}

impl AvgPool {
    /// Values of a batch of the input, and of the output.
    ///
    /// # Panics
    /// If a size is 0, or there are more values than memory can hold.
    #[track_caller]
    fn check(&self, batch: usize) -> (usize, usize) {
        let AvgPool { channels, height, width, kernel } = *self;
        assert!([channels, height, width, kernel].iter().all(|&n| n > 0), "{self:?}: a size is 0");
        // The output is no larger.
        product(&[batch.max(1), height, width, padded(channels)]);
        (batch * self.in_len(), batch * self.out_len())
    }

    fn in_len(&self) -> usize {
        self.height * self.width * padded(self.channels)
    }

    fn out_width(&self) -> usize {
        self.width.div_ceil(self.kernel)
    }

    fn out_len(&self) -> usize {
        self.height.div_ceil(self.kernel) * self.out_width() * padded(self.channels)
    }

    /// The rows and columns of the window of an output pixel.
    #[inline(always)]
    fn window(&self, pixel: usize) -> [Range<usize>; 2] {
        let range = |at: usize, size: usize| {
            let start = at * self.kernel;
            start..start + self.kernel.min(size - start)
        };
        let (y, x) = (pixel / self.out_width(), pixel % self.out_width());
        [range(y, self.height), range(x, self.width)]
    }

    /// The means: `out[n][height][width][channels]` of `x[n][height][width][channels]`.
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
        let outs = DisjointChunks::new(&mut out[..batch * self.out_len()], self.out_len());
        cpu.pool().run_chunks(batch, outs, |image, out| {
            let x = &x[image * self.in_len()..][..self.in_len()];
            cpu.isa().dispatch(AverageForward { s: self, x, out });
        });
    }

    /// The gradient of the input: stored in `dx`, or added to it.
    ///
    /// # Panics
    /// As [`AvgPool::forward`].
    pub fn backward(
        &self,
        cpu: &Cpu,
        batch: usize,
        gradient: Values<'_>,
        dx: ValuesMut<'_>,
        accumulate: bool,
    ) {
        let (input, output) = self.check(batch);
        at_least("gradient of the output", gradient.len(), output);
        at_least("gradient of the input", dx.len(), input);
        by_scalar!(gradient.dtype(), T => {
            self.backward_of(cpu, batch, T::slice(gradient), T::slice_mut(dx), accumulate)
        });
    }

    fn backward_of<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        gradient: &[T],
        dx: &mut [T],
        accumulate: bool,
    ) {
        let parts = DisjointChunks::new(&mut dx[..batch * self.in_len()], self.in_len());
        cpu.pool().run_chunks(batch, parts, |image, dx| {
            let gradient = &gradient[image * self.out_len()..][..self.out_len()];
            cpu.isa().dispatch(AverageBackward { s: self, gradient, dx, accumulate });
        });
    }
}

struct AverageForward<'a, T> {
    s: &'a AvgPool,
    x: &'a [T],
    out: &'a mut [T],
}

impl<T: Scalar> Kernel for AverageForward<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (s, stored) = (self.s, padded(self.s.channels));
        for (pixel, out) in self.out.chunks_exact_mut(stored).enumerate() {
            let [rows, columns] = s.window(pixel);
            let factor = V::splat(1.0 / (rows.len() * columns.len()) as f32);
            for channel in (0..stored).step_by(V::LANES) {
                let mut sum = V::zero();
                for y in rows.clone() {
                    for x in columns.clone() {
                        sum = sum.add(T::read(&self.x[(y * s.width + x) * stored + channel..]));
                    }
                }
                T::write(sum.mul(factor), &mut out[channel..]);
            }
        }
    }
}

struct AverageBackward<'a, T> {
    s: &'a AvgPool,
    gradient: &'a [T],
    dx: &'a mut [T],
    accumulate: bool,
}

impl<T: Scalar> Kernel for AverageBackward<'_, T> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (s, stored) = (self.s, padded(self.s.channels));
        for (pixel, gradient) in self.gradient.chunks_exact(stored).enumerate() {
            let [rows, columns] = s.window(pixel);
            let factor = V::splat(1.0 / (rows.len() * columns.len()) as f32);
            for channel in (0..stored).step_by(V::LANES) {
                let share = T::read::<V>(&gradient[channel..]).mul(factor);
                for y in rows.clone() {
                    for x in columns.clone() {
                        let to = &mut self.dx[(y * s.width + x) * stored + channel..];
                        let base = if self.accumulate { T::read(to) } else { V::zero() };
                        T::write(base.add(share), to);
                    }
                }
            }
        }
    }
}

/// The mean of each channel over an image: `torch.nn.AdaptiveAvgPool2d(1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAvgPool {
    /// Channels.
    pub channels: usize,
    /// Pixels of an image.
    pub pixels: usize,
}

impl GlobalAvgPool {
    fn in_len(&self) -> usize {
        product(&[self.pixels, padded(self.channels)])
    }

    /// # Panics
    /// If a slice is too short for `batch` images.
    #[track_caller]
    fn check(&self, batch: usize, (input, input_len): (&str, usize), (output, len): (&str, usize)) {
        assert!(self.pixels > 0 && self.channels > 0, "{self:?}: a size is 0");
        at_least(input, input_len, product(&[batch, self.in_len()]));
        at_least(output, len, product(&[batch, padded(self.channels)]));
    }

    /// The means: `out[n][channels]` of `x[n][pixels][channels]`.
    ///
    /// # Panics
    /// If dtypes differ, or there are too few values.
    pub fn forward(&self, cpu: &Cpu, batch: usize, x: Values<'_>, out: ValuesMut<'_>) {
        self.check(batch, ("input", x.len()), ("output", out.len()));
        by_scalar!(x.dtype(), T => self.forward_of(cpu, batch, T::slice(x), T::slice_mut(out)));
    }

    fn forward_of<T: Scalar>(&self, cpu: &Cpu, batch: usize, x: &[T], out: &mut [T]) {
        struct Item<'a, T> {
            x: &'a [T],
            out: &'a mut [T],
        }
        impl<T: Scalar> Kernel for Item<'_, T> {
            type Output = ();
            const PAIRS: bool = T::PACK > 1;
            #[inline(always)]
            fn run<V: Vector, const MR: usize>(self) {
                let stored = self.out.len();
                let factor = V::splat(1.0 / (self.x.len() / stored) as f32);
                for channel in (0..stored).step_by(V::LANES) {
                    let mut sum = V::zero();
                    for pixel in self.x.chunks_exact(stored) {
                        sum = sum.add(T::read(&pixel[channel..]));
                    }
                    T::write(sum.mul(factor), &mut self.out[channel..]);
                }
            }
        }
        let stored = padded(self.channels);
        let outs = DisjointChunks::new(&mut out[..batch * stored], stored);
        cpu.pool().run_chunks(batch, outs, |image, out| {
            cpu.isa().dispatch(Item { x: &x[image * self.in_len()..][..self.in_len()], out });
        });
    }

    /// The gradient of the input: stored in `dx`, or added to it.
    ///
    /// # Panics
    /// As [`GlobalAvgPool::forward`].
    pub fn backward(
        &self,
        cpu: &Cpu,
        batch: usize,
        gradient: Values<'_>,
        dx: ValuesMut<'_>,
        accumulate: bool,
    ) {
        let (input, output) = ("gradient of the input", "gradient of the output");
        self.check(batch, (input, dx.len()), (output, gradient.len()));
        by_scalar!(gradient.dtype(), T => {
            self.backward_of(cpu, batch, T::slice(gradient), T::slice_mut(dx), accumulate)
        });
    }

    fn backward_of<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        gradient: &[T],
        dx: &mut [T],
        accumulate: bool,
    ) {
        let stored = padded(self.channels);
        let factor = 1.0 / self.pixels as f32;
        let parts = DisjointChunks::new(&mut dx[..batch * self.in_len()], self.in_len());
        cpu.pool().run_chunks(batch, parts, |image, dx| {
            let gradient = &gradient[image * stored..][..stored];
            for pixel in dx.chunks_exact_mut(stored) {
                for (to, g) in pixel.iter_mut().zip(gradient) {
                    let base = if accumulate { to.to_f32() } else { 0.0 };
                    *to = T::from_f32(base + g.to_f32() * factor);
                }
            }
        });
    }
}
