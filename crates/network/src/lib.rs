//! Residual networks as data: graphs, the ResNet family, and parameters under PyTorch's names.
//!
//! A [`Graph`] is a network as a list of nodes. An [`Arch`] names a network of the family and
//! builds its graph. A [`Network`] adds parameters and running statistics. [`preprocess`] describes
//! the input images, [`crops`] batches of images that a device keeps, [`optim`] has the optimiser's settings, and [`random`] draws every random
//! number. This crate does not run networks, read files or train.
//!
//! ```
//! use resnet_network::{Arch, Network, network::Init};
//! let arch: Arch = "resnet20".parse()?;
//! let net = Network::new(arch.graph(10), Init::PyTorch, 0);
//! assert_eq!(net.values().len(), 269_722);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod crops;
pub mod graph;
pub mod models;
pub mod network;
pub mod optim;
pub mod preprocess;
pub mod random;

pub use graph::Graph;
pub use models::Arch;
pub use network::Network;
