//! Arithmetic of residual networks on slices.
//!
//! Calls take slices and return slices. They know no files and no networks, and allocate nothing:
//! the caller passes scratch. A wrong call panics before it computes anything, as does one of 2^32
//! items of work or more. A call takes [`Values`] of either [`Dtype`]. Algorithms are written once,
//! generic over the vector of an instruction set and the scalar type, and are compiled in this
//! crate only. Apart from `resnet-mpi`, this is the only crate with `unsafe` code.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("resnet needs a 64-bit target");

mod activation;
pub mod adamw;
pub mod average;
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
pub mod matrix;
mod memory;
pub mod muon;
pub mod norm;
mod peak;
mod pool;
pub mod pooling;
pub mod sgd;
mod storage;
mod values;

pub use activation::{Activation, Smooth};
pub use bf16::Bf16;
pub use cpu::{Algorithms, Cpu, CpuError};
pub use isa::{Isa, IsaError};
pub use memory::{Buffer, OutOfMemory, give_freed_memory_back};
pub use peak::Bandwidth;
pub use storage::Storage;
pub use values::{Dtype, UnknownDtype, Values, ValuesMut};
