//! ReLU and addition that follow no batch norm, and the shortcut without parameters.

use crate::{
    cpu::Cpu,
    element::{Element, by_element},
    isa::{Kernel, Vector},
    layout::padded,
    pool::Parts,
    values::{Values, ValuesMut},
};

/// Values of an item of work.
const PART: usize = 16 * 1024;

/// `out = relu?(a + b?)` over whole activations.
///
/// # Panics
/// If dtypes differ, or `a` or `b` is shorter than `out`.
pub fn add_relu(cpu: &Cpu, a: Values<'_>, b: Option<Values<'_>>, relu: bool, out: ValuesMut<'_>) {
    by_element!(a.dtype(), E => {
        add_relu_of(cpu, E::slice(a), b.map(E::slice), relu, E::slice_mut(out))
    });
}

fn add_relu_of<E: Element>(cpu: &Cpu, a: &[E], b: Option<&[E]>, relu: bool, out: &mut [E]) {
    struct Item<'a, E> {
        a: &'a [E],
        b: Option<&'a [E]>,
        relu: bool,
        out: &'a mut [E],
    }
    impl<E: Element> Kernel for Item<'_, E> {
        type Output = ();
        const PAIRS: bool = E::PACK > 1;
        #[inline(always)]
        fn run<V: Vector, const TILE: usize>(self) {
            assert!(self.a.len() == self.out.len() && self.out.len().is_multiple_of(V::LANES));
            assert!(self.b.is_none_or(|b| b.len() == self.out.len()));
            for at in (0..self.out.len()).step_by(V::LANES) {
                // SAFETY: the lengths are checked above.
                unsafe {
                    let mut sum: V = E::load(self.a.as_ptr().add(at));
                    if let Some(b) = self.b {
                        sum = sum.add(E::load(b.as_ptr().add(at)));
                    }
                    if self.relu {
                        sum = sum.relu();
                    }
                    E::store(sum, self.out.as_mut_ptr().add(at));
                }
            }
        }
    }
    let n = out.len();
    let (a, b) = (&a[..n], b.map(|b| &b[..n]));
    let outs = Parts::new(out, PART);
    cpu.pool().run(n.div_ceil(PART), &|_, i| {
        // SAFETY: each item takes its own part.
        let out = unsafe { outs.get(i) };
        let range = i * PART..i * PART + out.len();
        let b = b.map(|b| &b[range.clone()]);
        cpu.isa().dispatch(Item { a: &a[range], b, relu, out });
    });
}

/// `to = g`, or `to += g`, where `g` is the gradient of an output, blocked where the output (if
/// given) is not positive: the backward pass of [`add_relu`].
///
/// # Panics
/// If dtypes differ, or `gradient` or `out` is shorter than `to`.
pub fn pass_gradient(
    cpu: &Cpu,
    gradient: Values<'_>,
    out: Option<Values<'_>>,
    to: ValuesMut<'_>,
    accumulate: bool,
) {
    by_element!(gradient.dtype(), E => {
        let (gradient, out) = (E::slice(gradient), out.map(E::slice));
        pass_gradient_of(cpu, gradient, out, E::slice_mut(to), accumulate)
    });
}

fn pass_gradient_of<E: Element>(
    cpu: &Cpu,
    gradient: &[E],
    out: Option<&[E]>,
    to: &mut [E],
    accumulate: bool,
) {
    struct Item<'a, E> {
        gradient: &'a [E],
        out: Option<&'a [E]>,
        to: &'a mut [E],
        accumulate: bool,
    }
    impl<E: Element> Kernel for Item<'_, E> {
        type Output = ();
        const PAIRS: bool = E::PACK > 1;
        #[inline(always)]
        fn run<V: Vector, const TILE: usize>(self) {
            assert!(self.gradient.len() == self.to.len() && self.to.len().is_multiple_of(V::LANES));
            assert!(self.out.is_none_or(|out| out.len() == self.to.len()));
            for at in (0..self.to.len()).step_by(V::LANES) {
                // SAFETY: the lengths are checked above.
                unsafe {
                    let mut g: V = E::load(self.gradient.as_ptr().add(at));
                    if let Some(out) = self.out {
                        g = g.where_positive(E::load(out.as_ptr().add(at)));
                    }
                    let to = self.to.as_mut_ptr().add(at);
                    let sum = if self.accumulate { g.add(E::load(to)) } else { g };
                    E::store(sum, to);
                }
            }
        }
    }
    let n = to.len();
    let (gradient, out) = (&gradient[..n], out.map(|out| &out[..n]));
    let parts = Parts::new(to, PART);
    cpu.pool().run(n.div_ceil(PART), &|_, i| {
        // SAFETY: each item takes its own part.
        let to = unsafe { parts.get(i) };
        let range = i * PART..i * PART + to.len();
        let out = out.map(|out| &out[range.clone()]);
        cpu.isa().dispatch(Item { gradient: &gradient[range], out, to, accumulate });
    });
}

/// The paper's option-A shortcut: every `stride`-th pixel, with zero channels on both sides.
/// In PyTorch: `F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, before, after))`.
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
        let pixels = self.height.div_ceil(self.stride) * self.width.div_ceil(self.stride);
        pixels * padded(self.out_channels)
    }

    fn in_len(&self) -> usize {
        self.height * self.width * padded(self.in_channels)
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
    /// If dtypes differ, or there are too few values.
    pub fn forward(&self, cpu: &Cpu, batch: usize, x: Values<'_>, out: ValuesMut<'_>) {
        by_element!(x.dtype(), E => self.forward_of(cpu, batch, E::slice(x), E::slice_mut(out)));
    }

    fn forward_of<E: Element>(&self, cpu: &Cpu, batch: usize, x: &[E], out: &mut [E]) {
        let outs = Parts::new(&mut out[..batch * self.out_len()], self.out_len());
        cpu.pool().run(batch, &|_, image| {
            // SAFETY: each item takes its own part.
            let out = unsafe { outs.get(image) };
            let x = &x[image * self.in_len()..][..self.in_len()];
            out.fill(E::default());
            for (from, to) in self.pairs() {
                out[to..][..self.in_channels].copy_from_slice(&x[from..][..self.in_channels]);
            }
        });
    }

    /// The gradient of the input: stored in `dx`, or added to it.
    ///
    /// # Panics
    /// If dtypes differ, or there are too few values.
    pub fn backward(
        &self,
        cpu: &Cpu,
        batch: usize,
        gradient: Values<'_>,
        dx: ValuesMut<'_>,
        accumulate: bool,
    ) {
        by_element!(gradient.dtype(), E => {
            self.backward_of(cpu, batch, E::slice(gradient), E::slice_mut(dx), accumulate)
        });
    }

    fn backward_of<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        gradient: &[E],
        dx: &mut [E],
        accumulate: bool,
    ) {
        let parts = Parts::new(&mut dx[..batch * self.in_len()], self.in_len());
        cpu.pool().run(batch, &|_, image| {
            // SAFETY: each item takes its own part.
            let dx = unsafe { parts.get(image) };
            let gradient = &gradient[image * self.out_len()..][..self.out_len()];
            if !accumulate {
                dx.fill(E::default());
            }
            for (to, from) in self.pairs() {
                let from = &gradient[from..][..self.in_channels];
                for (to, from) in dx[to..][..self.in_channels].iter_mut().zip(from) {
                    *to = E::from_f32(to.to_f32() + from.to_f32());
                }
            }
        });
    }
}
