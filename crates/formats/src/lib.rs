//! Bytes to named tensors and back.
#![forbid(unsafe_code)]
