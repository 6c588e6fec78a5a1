//! Runs programs on this machine's processor.
//!
//! A plan prepares a kernel for every convolution of a program and allocates its buffers once. It
//! then runs without allocating, a smaller batch in the same plan; only the second part of a batch asks
//! for an arena of gradients more.

mod arena;
mod buffers;
mod eval;
mod images;
mod plain;
mod prepare;
mod train;
mod unit;

pub use eval::{EvalPlan, MODEST};
pub(crate) use prepare::Prepared;
pub use train::TrainPlan;
