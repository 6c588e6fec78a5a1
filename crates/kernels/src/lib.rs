//! Arithmetic of residual networks on slices.
//!
//! Slices in, slices out: no files, no networks, no allocation in a call (the caller passes
//! scratch). Algorithms are written once over [`isa::Vector`]; an instruction set is a file of
//! instructions. This is the only crate with `unsafe` code.

pub mod batch_norm;
pub mod conv;
mod cpu;
pub mod element;
pub mod elementwise;
pub mod input;
pub mod isa;
pub mod layout;
pub mod linear;
pub mod loss;
mod memory;
mod peak;
mod pool;
pub mod pooling;
pub mod sgd;
#[cfg(test)]
mod testing;

pub use cpu::{Algorithms, Cpu, CpuError};
pub use element::{Bf16, Element};
pub use isa::{Isa, IsaError};
pub use memory::{Buffer, OutOfMemory};
pub use peak::Bandwidth;
