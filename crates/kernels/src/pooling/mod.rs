//! Max pooling and average pooling.

mod average;
mod max;

pub use average::{AvgPool, GlobalAvgPool};
pub use max::MaxPool;
