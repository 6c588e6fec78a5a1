//! A program: the operations of a training step, or of inference, in the order in which they run,
//! with their shapes and the parts of the buffers that they read and write.
//!
//! A graph is [lowered](crate::lower) to one such list. It is what an engine runs, what
//! `resnet summary --plan` prints and what `resnet bench --profile` times, and it knows of no
//! device: [`interpret`](crate::interpret) computes the same list in f64.
//!
//! # Buffers
//! | buffer | element | holds |
//! |---|---|---|
//! | images | f32 | the batch in the layout of the first convolution, `[n][row][column][channel]` with its border |
//! | values | the dtype | outputs of layers, `[n][row][column][channel]`, channels [padded](resnet_kernels::layout::padded) by zeros |
//! | gradients | the dtype | gradients of outputs, likewise |
//! | saved | f32 | statistics of the batch norms, from forward to backward |
//! | logits and their gradients | f32 | `[n][class]` |
//! | parameters, their gradients, running statistics | f32 | arenas of the [network](resnet_network::Network), by node |
//!
//! A [`Span`] is for the largest batch; a smaller one uses its beginning.

mod kind;
mod list;
mod operation;
mod parameterless;
mod span;

pub use kind::{Kind, Pass};
pub use list::{FusedLayer, Program};
pub use operation::{Compute, ConvOperand, FusedNorm, Operation, ReluMask, Sink};
pub use parameterless::Parameterless;
pub use span::Span;
