//! Runs programs on this machine's processor.
//!
//! A plan prepares a kernel for every convolution of a program and allocates its buffers once. It
//! then runs without allocating, a smaller batch in the same plan; only the second part of a batch asks
//! for an arena of gradients more.

mod arena;
mod buffers;
mod eval;
mod input_buffer;
mod layer;
mod parameterless;
mod prepare;
mod train;

pub use eval::{EvalPlan, MICRO_BATCH_BYTES};
pub(crate) use prepare::Prepared;
pub use train::TrainPlan;
