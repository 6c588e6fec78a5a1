//! Batch norm (`torch.nn.BatchNorm2d`), with the residual sum and the activation that follow it.
//!
//! Statistics are computed chunk by chunk: the mean, then squared distances from it while the chunk
//! is in the cache. Those of all chunks are combined in f64, in order (Chan et al. 1979). That is
//! precise, takes one pass over memory, and gives the same bits with any number of threads.
//!
//! A call does a whole pass, or half of it. Between [`BatchNorm::moments`] and
//! [`BatchNorm::finish_statistics`], and between [`BatchNorm::gradient_sums`] and
//! [`BatchNorm::backward_data`], a caller may combine the results of several machines
//! (`torch.nn.SyncBatchNorm`).

mod backward;
mod forward;
mod passes;
mod shape;
mod slope;

pub use forward::{EPSILON, MOMENTUM, NormParameters, merge};
pub use shape::{BatchNorm, BatchNormShape};
pub use slope::{ActivationSlope, ResidualGradient};
