//! Sums and activations that are not fused with a batch norm, and the shortcut without parameters.

use crate::{
    activation::{Differentiable, Function, Smooth, by_smooth},
    check::{at_least, product},
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    layout::{CHANNEL_BLOCK, padded},
    scalar::{Scalar, by_scalar},
    values::{Values, ValuesMut},
};

/// Values of an item of work.
const PART: usize = 16 * 1024;

/// # Panics
/// If a slice does not end with a pixel.
#[track_caller]
fn whole_blocks(name: &str, len: usize) {
    assert!(len.is_multiple_of(CHANNEL_BLOCK), "{name}: {len} values are no whole pixels");
}

/// `out = relu?(a + b?)` over whole activations.
///
/// # Panics
/// If dtypes differ, `a` or `b` is shorter than `out`, or that does not end with a pixel.
pub fn add_relu(cpu: &Cpu, a: Values<'_>, b: Option<Values<'_>>, relu: bool, out: ValuesMut<'_>) {
    at_least("input", a.len(), out.len());
    if let Some(b) = b {
        at_least("residual", b.len(), out.len());
    }
    whole_blocks("output", out.len());
    by_scalar!(a.dtype(), T => {
        add_relu_of(cpu, T::slice(a), b.map(T::slice), relu, T::slice_mut(out))
    });
}

fn add_relu_of<T: Scalar>(cpu: &Cpu, a: &[T], b: Option<&[T]>, relu: bool, out: &mut [T]) {
    struct Item<'a, T> {
        a: &'a [T],
        b: Option<&'a [T]>,
        relu: bool,
        out: &'a mut [T],
    }
    impl<T: Scalar> Kernel for Item<'_, T> {
        type Output = ();
        const PAIRS: bool = T::PACK > 1;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let Item { a, b, relu, out } = self;
            let (a, mut b) = (a.chunks_exact(V::LANES), b.map(|b| b.chunks_exact(V::LANES)));
            for (out, a) in out.chunks_exact_mut(V::LANES).zip(a) {
                let mut sum: V = T::read(a);
                if let Some(b) = b.as_mut().and_then(Iterator::next) {
                    sum = sum.add(T::read(b));
                }
                if relu {
                    sum = sum.relu();
                }
                T::write(sum, out);
            }
        }
    }
    let n = out.len();
    let (a, b) = (&a[..n], b.map(|b| &b[..n]));
    let outs = DisjointChunks::new(out, PART);
    cpu.pool().run_chunks(n.div_ceil(PART), outs, |i, out| {
        let range = i * PART..i * PART + out.len();
        let b = b.map(|b| &b[range.clone()]);
        cpu.isa().dispatch(Item { a: &a[range], b, relu, out });
    });
}

/// The backward pass of [`add_relu`]: `to = g`, or `to += g`, where `g` is the gradient of the
/// output, or 0 where the output (if given) is not positive.
///
/// # Panics
/// If dtypes differ, `gradient` or `out` is shorter than `to`, or that does not end with a pixel.
pub fn add_relu_backward(
    cpu: &Cpu,
    gradient: Values<'_>,
    out: Option<Values<'_>>,
    to: ValuesMut<'_>,
    accumulate: bool,
) {
    at_least("gradient", gradient.len(), to.len());
    if let Some(out) = out {
        at_least("output", out.len(), to.len());
    }
    whole_blocks("gradient of the input", to.len());
    by_scalar!(gradient.dtype(), T => {
        let (gradient, out) = (T::slice(gradient), out.map(T::slice));
        add_relu_backward_of(cpu, gradient, out, T::slice_mut(to), accumulate)
    });
}

fn add_relu_backward_of<T: Scalar>(
    cpu: &Cpu,
    gradient: &[T],
    out: Option<&[T]>,
    to: &mut [T],
    accumulate: bool,
) {
    struct Item<'a, T> {
        gradient: &'a [T],
        out: Option<&'a [T]>,
        to: &'a mut [T],
        accumulate: bool,
    }
    impl<T: Scalar> Kernel for Item<'_, T> {
        type Output = ();
        const PAIRS: bool = T::PACK > 1;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let Item { gradient, out, to, accumulate } = self;
            let gradient = gradient.chunks_exact(V::LANES);
            let mut out = out.map(|out| out.chunks_exact(V::LANES));
            for (to, g) in to.chunks_exact_mut(V::LANES).zip(gradient) {
                let mut g: V = T::read(g);
                if let Some(out) = out.as_mut().and_then(Iterator::next) {
                    g = g.where_positive(T::read(out));
                }
                let sum = if accumulate { g.add(T::read(to)) } else { g };
                T::write(sum, to);
            }
        }
    }
    let n = to.len();
    let (gradient, out) = (&gradient[..n], out.map(|out| &out[..n]));
    let parts = DisjointChunks::new(to, PART);
    cpu.pool().run_chunks(n.div_ceil(PART), parts, |i, to| {
        let range = i * PART..i * PART + to.len();
        let out = out.map(|out| &out[range.clone()]);
        cpu.isa().dispatch(Item { gradient: &gradient[range], out, to, accumulate });
    });
}

/// `out = function(x)` over whole activations.
///
/// # Panics
/// If dtypes differ, `x` is shorter than `out`, or that does not end with a pixel.
pub fn activate(cpu: &Cpu, x: Values<'_>, function: Smooth, out: ValuesMut<'_>) {
    at_least("input", x.len(), out.len());
    whole_blocks("output", out.len());
    by_scalar!(x.dtype(), T => {
        by_smooth!(function, f => activate_of(cpu, T::slice(x), f, T::slice_mut(out)))
    });
}

fn activate_of<T: Scalar, F: Function>(cpu: &Cpu, x: &[T], function: F, out: &mut [T]) {
    struct Item<'a, T, F> {
        x: &'a [T],
        function: F,
        out: &'a mut [T],
    }
    impl<T: Scalar, F: Function> Kernel for Item<'_, T, F> {
        type Output = ();
        const PAIRS: bool = T::PACK > 1;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let x = self.x.chunks_exact(V::LANES);
            for (out, x) in self.out.chunks_exact_mut(V::LANES).zip(x) {
                T::write(self.function.value::<V>(T::read(x)), out);
            }
        }
    }
    let n = out.len();
    let outs = DisjointChunks::new(out, PART);
    cpu.pool().run_chunks(n.div_ceil(PART), outs, |i, out| {
        let x = &x[i * PART..][..out.len()];
        cpu.isa().dispatch(Item { x, function, out });
    });
}

/// The backward pass of [`activate`]: `to = g function'(x)`, or `to += g function'(x)`, where `g` is the
/// gradient of the output.
///
/// # Panics
/// If dtypes differ, `x` or `gradient` is shorter than `to`, or that does not end with a pixel.
pub fn activate_backward(
    cpu: &Cpu,
    x: Values<'_>,
    function: Smooth,
    gradient: Values<'_>,
    to: ValuesMut<'_>,
    accumulate: bool,
) {
    at_least("input", x.len(), to.len());
    at_least("gradient", gradient.len(), to.len());
    whole_blocks("gradient of the input", to.len());
    by_scalar!(x.dtype(), T => {
        let (x, gradient, to) = (T::slice(x), T::slice(gradient), T::slice_mut(to));
        by_smooth!(function, f => activate_backward_of(cpu, x, f, gradient, to, accumulate))
    });
}

fn activate_backward_of<T: Scalar, F: Differentiable>(
    cpu: &Cpu,
    x: &[T],
    function: F,
    gradient: &[T],
    to: &mut [T],
    accumulate: bool,
) {
    struct Item<'a, T, F> {
        x: &'a [T],
        function: F,
        gradient: &'a [T],
        to: &'a mut [T],
        accumulate: bool,
    }
    impl<T: Scalar, F: Differentiable> Kernel for Item<'_, T, F> {
        type Output = ();
        const PAIRS: bool = T::PACK > 1;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let Item { x, function, gradient, to, accumulate } = self;
            let read = x.chunks_exact(V::LANES).zip(gradient.chunks_exact(V::LANES));
            for (to, (x, g)) in to.chunks_exact_mut(V::LANES).zip(read) {
                let g: V = T::read::<V>(g).mul(function.slope(T::read(x)));
                let sum = if accumulate { g.add(T::read(to)) } else { g };
                T::write(sum, to);
            }
        }
    }
    let n = to.len();
    let parts = DisjointChunks::new(to, PART);
    cpu.pool().run_chunks(n.div_ceil(PART), parts, |i, to| {
        let range = i * PART..i * PART + to.len();
        let (x, gradient) = (&x[range.clone()], &gradient[range]);
        cpu.isa().dispatch(Item { x, function, gradient, to, accumulate });
    });
}

/// The shortcut without parameters, option A of He et al. (2015, section 4.2): every `stride`-th
/// pixel, with zero channels on both sides. In PyTorch:
/// `F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, before, after))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PadShortcut {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Step between the pixels that are kept.
    pub stride: usize,
}

impl PadShortcut {
    fn out_len(&self) -> usize {
        assert!(self.stride > 0 && self.in_channels <= self.out_channels, "{self:?}");
        let (rows, columns) = (self.height.div_ceil(self.stride), self.width.div_ceil(self.stride));
        product(&[rows, columns, padded(self.out_channels)])
    }

    fn in_len(&self) -> usize {
        product(&[self.height, self.width, padded(self.in_channels)])
    }

    /// # Panics
    /// If a slice is too short for the images.
    #[track_caller]
    fn check(&self, batch: usize, (input, input_len): (&str, usize), (output, len): (&str, usize)) {
        at_least(output, len, product(&[batch, self.out_len()]));
        at_least(input, input_len, product(&[batch, self.in_len()]));
    }

    /// Pairs of (start in an input image, start in an output image) of the channels that are kept.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let s = *self;
        let before = (s.out_channels - s.in_channels) / 2;
        let kept = (0..s.height).step_by(s.stride).flat_map(move |y| {
            (0..s.width).step_by(s.stride).map(move |x| (y * s.width + x) * padded(s.in_channels))
        });
        kept.enumerate().map(move |(i, from)| (from, i * padded(s.out_channels) + before))
    }

    /// `out` of `batch` images.
    ///
    /// # Panics
    /// If dtypes differ, there are too few values, or more channels come in than go out.
    pub fn forward(&self, cpu: &Cpu, batch: usize, x: Values<'_>, out: ValuesMut<'_>) {
        self.check(batch, ("input", x.len()), ("output", out.len()));
        by_scalar!(x.dtype(), T => self.forward_of(cpu, batch, T::slice(x), T::slice_mut(out)));
    }

    fn forward_of<T: Scalar>(&self, cpu: &Cpu, batch: usize, x: &[T], out: &mut [T]) {
        let outs = DisjointChunks::new(&mut out[..batch * self.out_len()], self.out_len());
        cpu.pool().run_chunks(batch, outs, |image, out| {
            let x = &x[image * self.in_len()..][..self.in_len()];
            out.fill(T::default());
            for (from, to) in self.pairs() {
                out[to..][..self.in_channels].copy_from_slice(&x[from..][..self.in_channels]);
            }
        });
    }

    /// The gradient of the input: stored in `dx`, or added to it.
    ///
    /// # Panics
    /// If dtypes differ, there are too few values, or more channels come in than go out.
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
        let parts = DisjointChunks::new(&mut dx[..batch * self.in_len()], self.in_len());
        cpu.pool().run_chunks(batch, parts, |image, dx| {
            let gradient = &gradient[image * self.out_len()..][..self.out_len()];
            if !accumulate {
                dx.fill(T::default());
            }
            for (to, from) in self.pairs() {
                let from = &gradient[from..][..self.in_channels];
                for (to, from) in dx[to..][..self.in_channels].iter_mut().zip(from) {
                    *to = T::from_f32(to.to_f32() + from.to_f32());
                }
            }
        });
    }
}
