//! Arithmetic of residual networks on slices.
//!
//! Slices in, slices out: no files, no networks, no allocation in a call (the caller passes
//! scratch). A call that is wrong panics before it computes anything, as does one of 2^32 items of work
//! or more. A call takes [`Values`] of either [`Dtype`]; algorithms are written once, generic over
//! the vectors of an instruction set and over how values are stored, and are compiled here and nowhere
//! else. This is the only crate with `unsafe` code.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("sizes are reckoned in 64 bits: resnet needs a 64-bit target");

pub mod batch_norm;
mod bf16;
mod check;
pub mod conv;
mod cpu;
pub mod elementwise;
mod fastest;
pub mod input;
mod scalar;

mod chunks;
mod isa;
pub mod layout;
pub mod linear;
pub mod loss;
mod memory;
mod peak;
mod pool;
pub mod pooling;
pub mod sgd;
mod storage;
mod values;

pub use bf16::Bf16;
pub use cpu::{Algorithms, Cpu, CpuError};
pub use isa::{Isa, IsaError};
pub use memory::{Buffer, OutOfMemory};
pub use peak::Bandwidth;
pub use storage::Storage;
pub use values::{Dtype, UnknownDtype, Values, ValuesMut};
