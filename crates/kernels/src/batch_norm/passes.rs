//! The passes over memory, one chunk at a time.

use super::slope::Slope;
use crate::{
    activation::Function,
    isa::{Kernel, Vector},
    scalar::Scalar,
};

/// Pixels of a partial sum: many short sums round less than a long one.
const RUN: usize = 8;

/// Runs a body for groups of vectors, channels outermost, so that sums stay in registers: four
/// vectors of a pixel at a time, so that cache lines are used whole, then the rest one by one.
macro_rules! by_channels {
    ($stored:expr, $lanes:expr, |$channel:ident, $count:ident| $body:block) => {{
        let vectors = $stored / $lanes;
        let mut vector = 0;
        while vector < vectors {
            let $channel = vector * $lanes;
            if vectors - vector >= 4 {
                const $count: usize = 4;
                $body
                vector += 4;
            } else {
                const $count: usize = 1;
                $body
                vector += 1;
            }
        }
    }};
}

/// Mean and squared distances of a chunk.
pub(super) struct Moments<'a, T> {
    pub(super) x: &'a [T],
    pub(super) stored: usize,
    pub(super) partial: &'a mut [f32],
}

impl<T: Scalar> Kernel for Moments<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let (means, squares) = self.partial.split_at_mut(self.stored);
        let count = V::splat(1.0 / (self.x.len() / self.stored) as f32);
        by_channels!(self.stored, V::LANES, |channel, N| {
            let mut sums = [V::zero(); N];
            let mut distances = [V::zero(); N];
            // SAFETY: N vectors from `channel` lie within a pixel and within both halves of
            // `partial`.
            unsafe {
                for run in self.x.chunks(RUN * self.stored) {
                    let mut part = [V::zero(); N];
                    for pixel in run.chunks_exact(self.stored) {
                        for v in 0..N {
                            let x = T::load(pixel.as_ptr().add(channel + v * V::LANES));
                            part[v] = part[v].add(x);
                        }
                    }
                    for v in 0..N {
                        sums[v] = sums[v].add(part[v]);
                    }
                }
                let mean = sums.map(|s| s.mul(count));
                for run in self.x.chunks(RUN * self.stored) {
                    let mut part = [V::zero(); N];
                    for pixel in run.chunks_exact(self.stored) {
                        for v in 0..N {
                            let x: V = T::load(pixel.as_ptr().add(channel + v * V::LANES));
                            let d = x.sub(mean[v]);
                            part[v] = d.mul_add(d, part[v]);
                        }
                    }
                    for v in 0..N {
                        distances[v] = distances[v].add(part[v]);
                    }
                }
                for v in 0..N {
                    mean[v].store(means.as_mut_ptr().add(channel + v * V::LANES));
                    distances[v].store(squares.as_mut_ptr().add(channel + v * V::LANES));
                }
            }
        });
    }
}

pub(super) struct Apply<'a, T, F> {
    pub(super) x: &'a [T],
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) residual: Option<&'a [T]>,
    pub(super) activation: F,
    pub(super) out: &'a mut [T],
}

impl<T: Scalar, F: Function> Kernel for Apply<'_, T, F> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let stored = self.scale.len();
        assert!(self.x.len() == self.out.len() && self.mean.len() == stored);
        assert!(self.shift.len() == stored && stored.is_multiple_of(V::LANES));
        assert!(self.residual.is_none_or(|r| r.len() == self.x.len()));
        for (pixel, out) in self.out.chunks_exact_mut(stored).enumerate() {
            for channel in (0..stored).step_by(V::LANES) {
                let at = pixel * stored + channel;
                // SAFETY: the lengths are checked above.
                unsafe {
                    let x: V = T::load(self.x.as_ptr().add(at));
                    let centred = x.sub(V::load(self.mean.as_ptr().add(channel)));
                    let scale = V::load(self.scale.as_ptr().add(channel));
                    let mut y = centred.mul_add(scale, V::load(self.shift.as_ptr().add(channel)));
                    if let Some(residual) = self.residual {
                        y = y.add(T::load(residual.as_ptr().add(at)));
                    }
                    T::store(self.activation.value(y), out.as_mut_ptr().add(channel));
                }
            }
        }
    }
}

/// Sums of `g` and of `g * (x - mean)` over a chunk.
pub(super) struct GradientSums<'a, T, S> {
    pub(super) x: &'a [T],
    pub(super) slope: S,
    pub(super) gradient: &'a [T],
    pub(super) mean: &'a [f32],
    pub(super) partial: &'a mut [f32],
}

impl<T: Scalar, S: Slope<T>> Kernel for GradientSums<'_, T, S> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let stored = self.mean.len();
        let pixels = self.x.len() / stored;
        assert_eq!(self.gradient.len(), self.x.len());
        self.slope.check(self.x.len(), stored);
        let (shifts, centred) = self.partial.split_at_mut(stored);
        by_channels!(stored, V::LANES, |channel, N| {
            let mut sums = [[V::zero(); N]; 2];
            // SAFETY: N vectors from `channel` lie within a pixel of each tensor.
            unsafe {
                let mean: [V; N] = std::array::from_fn(|v| {
                    V::load(self.mean.as_ptr().add(channel + v * V::LANES))
                });
                for first in (0..pixels).step_by(RUN) {
                    let mut part = [[V::zero(); N]; 2];
                    for pixel in first..pixels.min(first + RUN) {
                        for v in 0..N {
                            let at = pixel * stored + channel + v * V::LANES;
                            let mut g: V = T::load(self.gradient.as_ptr().add(at));
                            let x: V = T::load(self.x.as_ptr().add(at));
                            g = self.slope.times(g, x, at, channel + v * V::LANES);
                            part[0][v] = part[0][v].add(g);
                            part[1][v] = g.mul_add(x.sub(mean[v]), part[1][v]);
                        }
                    }
                    for v in 0..N {
                        sums[0][v] = sums[0][v].add(part[0][v]);
                        sums[1][v] = sums[1][v].add(part[1][v]);
                    }
                }
                for v in 0..N {
                    sums[0][v].store(shifts.as_mut_ptr().add(channel + v * V::LANES));
                    sums[1][v].store(centred.as_mut_ptr().add(channel + v * V::LANES));
                }
            }
        });
    }
}

pub(super) struct ApplyBackward<'a, T, S> {
    pub(super) x: &'a [T],
    pub(super) slope: S,
    pub(super) mean: &'a [f32],
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    pub(super) c: &'a [f32],
    pub(super) gradient: &'a mut [T],
    pub(super) residual: Option<&'a mut [T]>,
    pub(super) accumulate: bool,
}

impl<T: Scalar, S: Slope<T>> Kernel for ApplyBackward<'_, T, S> {
    type Output = ();
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(mut self) {
        let stored = self.mean.len();
        assert!(self.gradient.len() == self.x.len() && stored.is_multiple_of(V::LANES));
        assert!([self.a, self.b, self.c].iter().all(|v| v.len() == stored));
        self.slope.check(self.x.len(), stored);
        assert!(self.residual.as_ref().is_none_or(|r| r.len() == self.x.len()));
        for (pixel, gradient) in self.gradient.chunks_exact_mut(stored).enumerate() {
            for channel in (0..stored).step_by(V::LANES) {
                let at = pixel * stored + channel;
                // SAFETY: the lengths are checked above.
                unsafe {
                    let to = gradient.as_mut_ptr().add(channel);
                    let mut g: V = T::load(to);
                    let x: V = T::load(self.x.as_ptr().add(at));
                    g = self.slope.times(g, x, at, channel);
                    if let Some(residual) = &mut self.residual {
                        let to = residual.as_mut_ptr().add(at);
                        let sum = if self.accumulate { g.add(T::load(to)) } else { g };
                        T::store(sum, to);
                    }
                    let of = |v: &[f32]| V::load(v.as_ptr().add(channel));
                    let rest = x.sub(of(self.mean)).mul_add(of(self.b), of(self.c));
                    T::store(g.mul_add(of(self.a), rest), to);
                }
            }
        }
    }
}
