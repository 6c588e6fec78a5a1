//! Bytes to named tensors and back.
#![forbid(unsafe_code)]

mod error;
mod tensor;

pub use error::{FormatError, FormatErrorKind};
pub use tensor::{Data, NamedTensors, Tensor};
