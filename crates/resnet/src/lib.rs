//! Residual networks: graph, models, training, evaluation, data and checkpoints.
//!
//! A [`Graph`] is a network as data, and [`Arch`] names those of the family. A [`Network`] adds
//! parameters; an [engine] trains it, a plan runs it on a batch. [`train`](train::train) is the loop around that, in a
//! [run folder](run), and [`Model`](model_file::Model) what comes back from a file.
//!
//! ```
//! use resnet::{Arch, Cpu, Network, network::Init, engine::{EvalPlan, Input}, Dtype};
//!
//! let arch: Arch = "resnet20".parse()?;
//! let net = Network::new(arch.graph(10), Init::PyTorch, 0);
//! let mut plan = EvalPlan::new(net.graph(), Dtype::Fp32, 1, 32, 32, &Cpu::new(2)?)?;
//! plan.load(&net);
//! let image = vec![0.5; 3 * 32 * 32]; // [channels][height][width], normalised
//! assert_eq!(plan.forward(Input::Nchw(&image), 1).len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Arithmetic is in `resnet_kernels`, files in `resnet_formats`; neither knows of this crate.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod cam;
pub mod checkpoint;
pub mod config;
pub mod evaluate;
pub mod metrics;
pub mod model_file;
pub mod predictions;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod summary;
pub mod train;

pub use model_file::onnx;
pub use resnet_data as data;
pub use resnet_engine::{self as engine, optim, profile};
pub use resnet_kernels::{Cpu, Dtype};
pub use resnet_network::{Arch, Graph, Network, graph, models, network, preprocess, random};

/// The README's programs.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
