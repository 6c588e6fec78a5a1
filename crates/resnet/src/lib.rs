//! Residual networks on a CPU or a GPU: training, evaluation and inference, as in PyTorch.
//!
//! | task | start here | example program |
//! |---|---|---|
//! | run a forward pass | [`EvalPlan`](engine::EvalPlan) | `01_forward` |
//! | do a training step | [`Engine`](engine::Engine) | `02_training_step` |
//! | load a file of PyTorch, ONNX or safetensors | [`Model::load`](model_file::Model::load), [`model_file`] | `03_load_checkpoint` |
//! | load the model of a run folder | [`run::load_model`] | |
//! | train on a data set or on photos | [`train`] | `07_train_photos` |
//! | predict the class of a photo | [`Predictor`](predictor::Predictor) | `05_predict_photo` |
//! | build a network of your own | [`graph`], [`Network`] | `04_own_net` |
//!
//! Each of these pages has a short example. The programs are in `crates/resnet/examples`:
//! `cargo run --release -p resnet --example 01_forward`.
//!
//! Depend on the crate by its path, `resnet = { path = ".../crates/resnet" }`; it re-exports what its
//! signatures have of the crates below it. Examples on their pages import `resnet_engine`, `resnet_network`, `resnet_data`,
//! `resnet_formats` and `resnet_kernels`: here these are [`engine`], [`network`], [`graph`] and [`models`], [`data`],
//! [`formats`], and [`Cpu`], [`Dtype`] and [`Isa`].
//!
//! Further tasks: the paper's experiments ([`experiment`]), evaluate a model ([`evaluate`]), export to
//! ONNX ([`onnx`]), draw class activation maps ([`cam`]), count parameters and multiply-accumulates ([`summary`](mod@summary)).
//!
//! ```
//! use resnet::{Arch, Cpu, Dtype, Network, engine::{EvalPlan, Input}, network::Init};
//!
//! let arch: Arch = "resnet20".parse()?;
//! let net = Network::new(arch.graph(10), Init::PyTorch, 0);
//! let mut plan = EvalPlan::new(net.graph(), Dtype::Fp32, 1, 32, 32, &Cpu::new(2)?)?;
//! plan.load(&net);
//! let image = vec![0.5; 3 * 32 * 32]; // [channels][height][width], normalised
//! let logits = plan.forward(Input::Nchw(&image), 1);
//! assert_eq!(logits.len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Cpu::new(2)` computes with two threads; `std::thread::available_parallelism` gives the number of
//! cores. [`Dtype::fastest`] is bf16 where the processor has native bfloat16 dot products, else fp32.
//! What takes a `&Cpu` takes a [`Device`] too, which may be a GPU with the feature `gpu`.
//! Pixels are normalised as `(pixel / 255 - mean) / std`; [`Input::Bytes`](engine::Input::Bytes) does
//! that for bytes.
//!
//! An [`Arch`] names a network of the family and builds its [`Graph`], a list of nodes. A
//! [`Network`] adds parameters and running statistics, under PyTorch's names. A plan runs a network
//! on batches; an [`engine`] trains it. A [`Model`](model_file::Model) is a network with its class
//! names and preprocessing, as a file has them.
//!
//! Errors say what is wrong, and name the option or the command of the program that mends it (`--lr`,
//! `resnet data fetch`) as well.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod cam;
pub mod checkpoint;
pub mod config;
pub mod evaluate;
pub mod experiment;
pub mod metrics;
pub mod model_file;
pub mod predictions;
pub mod predictor;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod summary;
pub mod train;

pub use model_file::onnx;
#[doc(inline)]
pub use resnet_data as data;
#[doc(inline)]
pub use resnet_engine::{self as engine, Device, optim, profile};
#[doc(inline)]
pub use resnet_formats as formats;
#[doc(inline)]
pub use resnet_kernels::{
    Algorithms, Bandwidth, Cpu, CpuError, Dtype, Isa, IsaError, UnknownDtype,
    give_freed_memory_back,
};
#[doc(inline)]
pub use resnet_network::{Arch, Graph, Network, graph, models, network, preprocess, random};

/// The README's programs, compiled as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
