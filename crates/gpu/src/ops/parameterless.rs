//! Operations without parameters.

use resnet_kernels::Activation;
use resnet_program::program::{Parameterless, Sink, Span};

use super::{ACTIVATIONS, Buffers, activation, vectors};
use crate::{
    GpuError,
    kernel::{Dispatch, Kernel, Work},
};

const ADD: &str = include_str!("../shaders/add.wgsl");
const ADD_BACKWARD: &str = include_str!("../shaders/add_backward.wgsl");
const POOL: &str = include_str!("../shaders/pool.wgsl");
const POOL_BACKWARD: &str = include_str!("../shaders/pool_backward.wgsl");
const GLOBAL_MAX_BACKWARD: &str = include_str!("../shaders/global_max_backward.wgsl");
const SHORTCUT: &str = include_str!("../shaders/shortcut.wgsl");

/// A pool over windows. The windows of a whole image are as large as it.
struct Pool {
    max: bool,
    channels: usize,
    height: usize,
    width: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    out: [usize; 2],
}

impl Pool {
    fn of(op: &Parameterless) -> Option<Pool> {
        let pool = match op {
            Parameterless::MaxPool(p) => {
                let side = |len: usize| (len + 2 * p.padding - p.kernel) / p.stride + 1;
                Pool {
                    max: true,
                    channels: p.channels,
                    height: p.height,
                    width: p.width,
                    kernel: [p.kernel; 2],
                    stride: p.stride,
                    padding: p.padding,
                    out: [side(p.height), side(p.width)],
                }
            }
            Parameterless::AvgPool(p) => Pool {
                max: false,
                channels: p.channels,
                height: p.height,
                width: p.width,
                kernel: [p.kernel; 2],
                stride: p.kernel,
                padding: 0,
                out: [p.height.div_ceil(p.kernel), p.width.div_ceil(p.kernel)],
            },
            Parameterless::GlobalAvgPool(p) => Pool::whole(false, p.channels, p.pixels),
            Parameterless::GlobalMaxPool(p) => Pool::whole(true, p.channels, p.pixels),
            _ => return None,
        };
        Some(pool)
    }

    /// Over a whole image, as one row of pixels.
    fn whole(max: bool, channels: usize, pixels: usize) -> Pool {
        Pool {
            max,
            channels,
            height: 1,
            width: pixels,
            kernel: [1, pixels],
            stride: pixels,
            padding: 0,
            out: [1, 1],
        }
    }

    fn kernel(&self, label: &'static str, body: &str) -> Kernel<'static> {
        let ([kernel_y, kernel_x], [out_height, out_width]) = (self.kernel, self.out);
        Kernel::new(label, body)
            .constants(&[("MAX", self.max.into()), ("C4", vectors(self.channels))])
            .constants(&[("HEIGHT", self.height), ("WIDTH", self.width)])
            .constants(&[("KERNEL_Y", kernel_y), ("KERNEL_X", kernel_x)])
            .constants(&[("STRIDE", self.stride), ("PADDING", self.padding)])
            .constants(&[("OUT_HEIGHT", out_height), ("OUT_WIDTH", out_width)])
    }
}

/// The output.
pub(crate) fn forward(
    buffers: Buffers<'_>,
    op: &Parameterless,
    x: &Span,
    residual: Option<&Span>,
    relu: bool,
    y: &Span,
) -> Result<Dispatch, GpuError> {
    let (gpu, element) = (buffers.gpu, buffers.element());
    let (from, to) = (buffers.value(x), buffers.value(y));
    if let Some(pool) = Pool::of(op) {
        let kernel = pool.kernel("pool", POOL).bind("x", element, &from).bind("y", element, &to);
        let values = pool.out[0] * pool.out[1] * vectors(pool.channels);
        return kernel.build(gpu, Work::values(values));
    }
    match op {
        Parameterless::PadShortcut(s) => {
            let pixels = s.height.div_ceil(s.stride) * s.width.div_ceil(s.stride);
            let kernel = shortcut(op, false, false).bind("x", element, &from);
            let kernel = kernel.bind("y", element, &to);
            kernel.build(gpu, Work::values(pixels * vectors(s.out_channels)))
        }
        Parameterless::AddRelu { image_len } | Parameterless::Smooth { image_len, .. } => {
            let function = match op {
                Parameterless::Smooth { function, .. } => Some(Activation::Smooth(*function)),
                _ => relu.then_some(Activation::Relu),
            };
            let residual = residual.map(|at| buffers.value(at));
            let kernel = Kernel::new("add", ADD)
                .with(ACTIVATIONS)
                .constants(&[("ACTIVATION", activation(function)), ("IMAGE4", image_len / 4)])
                .constant("RESIDUAL", residual.is_some().into())
                .bind("x", element, &from)
                .bind("y", element, &to)
                .bind_if("residual", element, residual.as_ref());
            kernel.build(gpu, Work::values(image_len / 4))
        }
        _ => unreachable!("a pool was found above"),
    }
}

/// The gradient of an input.
pub(crate) fn backward(
    buffers: Buffers<'_>,
    op: &Parameterless,
    (x, y, relu): (&Span, &Span, bool),
    dy: &Span,
    dx: &Sink,
) -> Result<Dispatch, GpuError> {
    let (gpu, element) = (buffers.gpu, buffers.element());
    let (from, to) = (buffers.gradient(dy), buffers.gradient(&dx.at));
    if let Parameterless::GlobalMaxPool(pool) = op {
        let vectors = vectors(pool.channels);
        let kernel = Kernel::new("global_max_backward", GLOBAL_MAX_BACKWARD)
            .constants(&[("PIXELS", pool.pixels), ("C4", vectors)])
            .constant("ACCUMULATE", dx.accumulate.into())
            .bind("x", element, &buffers.value(x))
            .bind("dy", element, &from)
            .bind("dx", element, &to);
        return kernel.build(gpu, Work::values(vectors));
    }
    if let Some(pool) = Pool::of(op) {
        let kernel = pool
            .kernel("pool_backward", POOL_BACKWARD)
            .constant("ACCUMULATE", dx.accumulate.into())
            .bind("x", element, &buffers.value(x))
            .bind("dy", element, &from)
            .bind("dx", element, &to);
        let values = pool.height * pool.width * vectors(pool.channels);
        return kernel.build(gpu, Work::values(values));
    }
    match op {
        Parameterless::PadShortcut(s) => {
            let kernel = shortcut(op, true, dx.accumulate).bind("x", element, &from);
            let kernel = kernel.bind("y", element, &to);
            kernel.build(gpu, Work::values(s.height * s.width * vectors(s.in_channels)))
        }
        Parameterless::AddRelu { image_len } | Parameterless::Smooth { image_len, .. } => {
            // A ReLU's slope is read off the output, a smooth one's off the input.
            let (slope, function, read) = match op {
                Parameterless::Smooth { function, .. } => {
                    (2, Some(Activation::Smooth(*function)), Some(x))
                }
                _ if relu => (1, None, Some(y)),
                _ => (0, None, None),
            };
            let read = read.map(|at| buffers.value(at));
            let kernel = Kernel::new("add_backward", ADD_BACKWARD)
                .with(ACTIVATIONS)
                .constants(&[("ACTIVATION", activation(function)), ("IMAGE4", image_len / 4)])
                .constants(&[("SLOPE", slope), ("ACCUMULATE", dx.accumulate.into())])
                .bind("dy", element, &from)
                .bind("dx", element, &to)
                .bind_if("y", element, read.as_ref());
            kernel.build(gpu, Work::values(image_len / 4))
        }
        _ => unreachable!("a pool was found above"),
    }
}

fn shortcut(op: &Parameterless, backward: bool, accumulate: bool) -> Kernel<'static> {
    let Parameterless::PadShortcut(s) = op else { unreachable!("{op:?}") };
    Kernel::new("shortcut", SHORTCUT)
        .constants(&[("BACKWARD", backward.into()), ("ACCUMULATE", accumulate.into())])
        .constants(&[("HEIGHT", s.height), ("WIDTH", s.width), ("STRIDE", s.stride)])
        .constants(&[("IN", s.in_channels), ("OUT", s.out_channels)])
        .constants(&[("IN4", vectors(s.in_channels)), ("OUT4", vectors(s.out_channels))])
}
