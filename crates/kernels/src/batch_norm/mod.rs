//! Batch norm, with the ReLU and the residual sum that follow it.
//!
//! Statistics are taken chunk by chunk (mean, then squared distances from it while the chunk is
//! in the cache) and combined in f64 in the order of the chunks (Chan et al. 1979): precise, one
//! pass over memory, and the same for any number of threads.
//!
//! A call does a whole pass, or half of it: between [`BatchNorm::moments`] and
//! [`BatchNorm::finish_statistics`], and between [`BatchNorm::gradient_sums`] and
//! [`BatchNorm::backward_data`], a caller may combine what several machines have found.

mod backward;
mod forward;
mod passes;
mod relu_mask;
mod shape;

pub use forward::{EPSILON, MOMENTUM, NormParameters, merge};
pub use relu_mask::{ReluMask, ResidualGradient};
pub use shape::{BatchNorm, BatchNormShape};
