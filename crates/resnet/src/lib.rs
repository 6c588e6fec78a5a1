//! Residual networks: graph, models, training, evaluation, data and checkpoints.
#![forbid(unsafe_code)]

pub mod data;
pub mod graph;
pub mod models;
pub mod network;
pub mod optim;
pub mod plan;
pub mod random;

pub use graph::Graph;
pub use models::Arch;
pub use network::Network;
pub use resnet_kernels::Cpu;
