//! Residual networks: graph, models, training, evaluation, data and checkpoints.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod graph;
mod lock;
pub mod models;
pub mod network;
pub mod optim;
pub mod plan;
pub mod random;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod summary;
pub mod train;

pub use graph::Graph;
pub use models::Arch;
pub use network::Network;
pub use resnet_kernels::Cpu;
