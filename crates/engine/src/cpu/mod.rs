//! Runs programs on this machine's processor.
//!
//! A plan prepares a kernel for each convolution of a program and allocates its buffers once. It
//! then runs batches of up to its largest size without allocating. The one exception is the second
//! micro-batch of a batch, which allocates a second buffer for gradients.

mod arena;
mod buffers;
mod eval;
mod inference_parameters;
mod input_buffer;
mod layer;
mod parameterless;
mod prepare;
mod train;

pub use eval::{EvalPlan, MICRO_BATCH_BYTES};
pub(crate) use prepare::Prepared;
pub use train::TrainPlan;
