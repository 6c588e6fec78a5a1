//! Operations without parameters: forward and backward side by side.

use resnet_kernels::{
    Cpu, Element,
    elementwise::{PadShortcut, add_relu, pass_gradient},
    pooling::{GlobalAvgPool, MaxPool},
};

use super::Sizes;
use crate::graph::{Graph, NodeId, Op};

/// An operation without parameters, on images of one size.
#[derive(Debug)]
pub(super) enum Plain {
    /// `relu?(x + residual?)` over so many values an image.
    Sum {
        image_len: usize,
    },
    MaxPool(MaxPool),
    AvgPool(GlobalAvgPool),
    PadShortcut(PadShortcut),
}

/// The gradient of a value, to be stored or added to.
pub(super) struct Gradient<'a, E> {
    pub(super) values: &'a mut [E],
    pub(super) accumulate: bool,
}

impl Plain {
    /// None if the node has parameters.
    pub(super) fn new(graph: &Graph, id: NodeId, sizes: &Sizes) -> Option<Self> {
        let node = &graph.nodes()[id];
        let input = node.inputs.first().map(|&i| sizes.shapes[i])?;
        let (channels, height, width) = (input.channels, input.height, input.width);
        Some(match node.op {
            Op::Relu | Op::Add => Plain::Sum { image_len: sizes.image_len(id) },
            Op::MaxPool2d { kernel, stride, padding } => {
                Plain::MaxPool(MaxPool { channels, height, width, kernel, stride, padding })
            }
            Op::GlobalAvgPool => Plain::AvgPool(GlobalAvgPool { channels, pixels: height * width }),
            Op::PadShortcut { stride } => Plain::PadShortcut(PadShortcut {
                in_channels: channels,
                out_channels: node.channels,
                height,
                width,
                stride,
            }),
            Op::Input | Op::Conv2d { .. } | Op::BatchNorm2d | Op::Linear => return None,
        })
    }

    /// The output of `n` images.
    pub(super) fn forward<E: Element>(
        &self,
        cpu: &Cpu,
        n: usize,
        x: &[E],
        residual: Option<&[E]>,
        relu: bool,
        out: &mut [E],
    ) {
        match self {
            Plain::Sum { image_len } => {
                add_relu(cpu, x, residual, relu, &mut out[..n * image_len]);
            }
            Plain::MaxPool(pool) => pool.forward(cpu, n, x, out),
            Plain::AvgPool(pool) => pool.forward(cpu, n, x, out),
            Plain::PadShortcut(shortcut) => shortcut.forward(cpu, n, x, out),
        }
    }

    /// The gradient of an input from that of the output. A sum has two inputs, and its gradient
    /// is the same for both.
    pub(super) fn backward<E: Element>(
        &self,
        cpu: &Cpu,
        n: usize,
        (x, out, relu): (&[E], &[E], bool),
        gradient: &[E],
        to: Gradient<'_, E>,
    ) {
        let Gradient { values: dx, accumulate } = to;
        match self {
            Plain::Sum { image_len } => {
                let dx = &mut dx[..n * image_len];
                pass_gradient(cpu, gradient, relu.then_some(out), dx, accumulate);
            }
            Plain::MaxPool(pool) => pool.backward(cpu, n, x, out, gradient, dx, accumulate),
            Plain::AvgPool(pool) => pool.backward(cpu, n, gradient, dx, accumulate),
            Plain::PadShortcut(shortcut) => shortcut.backward(cpu, n, gradient, dx, accumulate),
        }
    }
}
