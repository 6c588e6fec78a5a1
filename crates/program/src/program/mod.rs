//! A program: the operations of a training step or of inference, in order, with their shapes and
//! the ranges of the buffers that they read and write.
//!
//! [Lowering](crate::lower) makes a program from a graph. An engine runs it, `resnet summary
//! --plan` prints it, and `resnet bench --profile` times it. A program is independent of the
//! device: [`interpret`](crate::interpret) computes the same list in f64.
//!
//! # Buffers
//! | buffer | element | holds |
//! |---|---|---|
//! | images | f32 | the batch `[n][row][column][channel]`, with the border of the first convolution |
//! | values | the dtype | outputs of fused layers, `[n][row][column][channel]`, channels [padded](resnet_kernels::layout::padded) by zeros |
//! | gradients | the dtype | gradients of outputs, likewise |
//! | saved | f32 | batch statistics of the batch norms, from forward to backward |
//! | logits and their gradients | f32 | `[n][class]` |
//! | parameters, their gradients, running statistics | f32 | arenas of the [network](resnet_network::Network), by node |
//!
//! A [`Span`] is sized for the largest batch. A smaller batch uses its beginning.

mod kind;
mod list;
mod operation;
mod parameterless;
mod span;

pub use kind::{Kind, Pass};
pub use list::{FusedLayer, Probe, Program};
pub use operation::{Compute, ConvOperand, FusedNorm, Operation, Sink, Slope};
pub use parameterless::Parameterless;
pub use span::Span;
