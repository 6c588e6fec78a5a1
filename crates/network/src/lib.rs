//! Residual networks as data: graphs, the family's models, parameters under PyTorch's names.
//!
//! A [`Graph`] is a network as a list of nodes, [`Arch`] names those of the family, and a
//! [`Network`] adds parameters and running statistics. [`preprocess`] is what a network asks of its
//! images, [`optim`] the rules by which its parameters change, and [`random`] where every random
//! choice comes from. Nothing here runs a network, reads a file or knows of training.
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

pub mod graph;
pub mod models;
pub mod network;
pub mod optim;
pub mod preprocess;
pub mod random;

pub use graph::Graph;
pub use models::Arch;
pub use network::Network;
