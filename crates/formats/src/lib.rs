//! Bytes to named tensors and back.
#![forbid(unsafe_code)]

mod tensor;

pub use tensor::{Data, NamedTensors, Tensor};
