//! Computes a program in f64 with simple loops: the reference for testing plans.
//!
//! The interpreter reads and writes the same ranges of the same buffers as a plan. So a value that
//! is overwritten too early, or an operation in the wrong place, gives a wrong result in both,
//! which the comparison with PyTorch shows. A wrong kernel gives a difference between plan and
//! interpreter. Buffers start as NaN, so a value that is read before it is written shows.
//!
//! The shards of a step go through the program together ([`Interpreter::run_shards`]), since batch norms
//! may have statistics over all of them.

mod conv;
mod interpreter;
mod loss;
mod norm;
mod parameterless;
mod run;

pub use interpreter::Interpreter;
