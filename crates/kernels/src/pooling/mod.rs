//! Max pooling and average pooling.

mod average;
mod global_max;
mod max;

pub use average::{AvgPool, GlobalAvgPool};
pub use global_max::GlobalMaxPool;
pub use max::MaxPool;
