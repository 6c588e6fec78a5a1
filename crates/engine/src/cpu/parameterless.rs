//! Operations without parameters, forward and backward next to each other.

use resnet_kernels::{
    Cpu, Values, ValuesMut,
    elementwise::{activate, activate_backward, add_relu, add_relu_backward},
};
use resnet_program::program::Parameterless;

/// The output of `n` images.
pub(super) fn forward(
    op: &Parameterless,
    cpu: &Cpu,
    n: usize,
    x: Values<'_>,
    residual: Option<Values<'_>>,
    relu: bool,
    y: ValuesMut<'_>,
) {
    match op {
        Parameterless::AddRelu { image_len } => {
            add_relu(cpu, x, residual, relu, y.slice(0..n * image_len));
        }
        Parameterless::Smooth { function, image_len } => {
            activate(cpu, x, *function, y.slice(0..n * image_len));
        }
        Parameterless::MaxPool(pool) => pool.forward(cpu, n, x, y),
        Parameterless::AvgPool(pool) => pool.forward(cpu, n, x, y),
        Parameterless::GlobalAvgPool(pool) => pool.forward(cpu, n, x, y),
        Parameterless::GlobalMaxPool(pool) => pool.forward(cpu, n, x, y),
        Parameterless::PadShortcut(shortcut) => shortcut.forward(cpu, n, x, y),
    }
}

/// The gradient of an input from that of the output. An addition has two inputs with the same
/// gradient.
pub(super) fn backward(
    op: &Parameterless,
    cpu: &Cpu,
    n: usize,
    (x, y, relu): (Values<'_>, Values<'_>, bool),
    dy: Values<'_>,
    dx: ValuesMut<'_>,
    accumulate: bool,
) {
    match op {
        Parameterless::AddRelu { image_len } => {
            let dx = dx.slice(0..n * image_len);
            add_relu_backward(cpu, dy, relu.then_some(y), dx, accumulate);
        }
        Parameterless::Smooth { function, image_len } => {
            let dx = dx.slice(0..n * image_len);
            activate_backward(cpu, x, *function, dy, dx, accumulate);
        }
        Parameterless::MaxPool(pool) => pool.backward(cpu, n, x, y, dy, dx, accumulate),
        Parameterless::AvgPool(pool) => pool.backward(cpu, n, dy, dx, accumulate),
        Parameterless::GlobalAvgPool(pool) => pool.backward(cpu, n, dy, dx, accumulate),
        Parameterless::GlobalMaxPool(pool) => pool.backward(cpu, n, (x, y), dy, dx, accumulate),
        Parameterless::PadShortcut(shortcut) => shortcut.backward(cpu, n, dy, dx, accumulate),
    }
}
