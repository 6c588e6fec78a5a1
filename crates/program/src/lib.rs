//! A residual network as a list of operations, for any device.
//!
//! [Lowering](lower) makes a [program] from a graph: the operations of a training step or of
//! inference, in order, with the places of what they read and write. The crates `resnet-engine` and
//! `resnet-gpu` run that list; [`interpret`] computes it in f64, in the plainest way, and is the oracle
//! of both. What enters a program is in [`Input`] and [`MicroBatch`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod batch;
mod error;
pub mod interpret;
pub mod lower;
pub mod memory;
pub mod program;

pub use batch::{Input, MicroBatch, StepResult, Targets};
pub use error::PlanError;
