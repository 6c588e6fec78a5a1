//! Operations without parameters: forward and backward side by side.

use resnet_kernels::{
    Cpu, Values, ValuesMut,
    elementwise::{add_relu, add_relu_backward},
};

use crate::program::Plain;

impl Plain {
    /// The output of `n` images.
    pub(super) fn forward(
        &self,
        cpu: &Cpu,
        n: usize,
        x: Values<'_>,
        residual: Option<Values<'_>>,
        relu: bool,
        y: ValuesMut<'_>,
    ) {
        match self {
            Plain::Sum { image_len } => {
                add_relu(cpu, x, residual, relu, y.slice(0..n * image_len));
            }
            Plain::MaxPool(pool) => pool.forward(cpu, n, x, y),
            Plain::AvgPool(pool) => pool.forward(cpu, n, x, y),
            Plain::PadShortcut(shortcut) => shortcut.forward(cpu, n, x, y),
        }
    }

    /// The gradient of an input from that of the output. A sum has two inputs, and its gradient
    /// is the same for both.
    pub(super) fn backward(
        &self,
        cpu: &Cpu,
        n: usize,
        (x, y, relu): (Values<'_>, Values<'_>, bool),
        dy: Values<'_>,
        dx: ValuesMut<'_>,
        accumulate: bool,
    ) {
        match self {
            Plain::Sum { image_len } => {
                let dx = dx.slice(0..n * image_len);
                add_relu_backward(cpu, dy, relu.then_some(y), dx, accumulate);
            }
            Plain::MaxPool(pool) => pool.backward(cpu, n, x, y, dy, dx, accumulate),
            Plain::AvgPool(pool) => pool.backward(cpu, n, dy, dx, accumulate),
            Plain::PadShortcut(shortcut) => shortcut.backward(cpu, n, dy, dx, accumulate),
        }
    }
}
