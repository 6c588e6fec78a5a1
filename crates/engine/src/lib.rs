//! Runs networks: lowers a graph to a list of operations and computes them, on the processor or, with the
//! feature `gpu`, on a GPU ([`Device`]).
//!
//! Use an [`Engine`] to train a network: it owns the parameters, the optimiser's state and the
//! running statistics. Use a [`DeviceEvalPlan`] for inference, or an [`EvalPlan`], which is the
//! processor's. All run a [program], the list of
//! operations that [`plan_summary`] describes and [`profile`] times.
//!
//! ```
//! use resnet_engine::{EvalPlan, Input};
//! use resnet_kernels::{Cpu, Dtype};
//! use resnet_network::{Arch, Network, network::Init};
//!
//! let arch: Arch = "resnet20".parse()?;
//! let net = Network::new(arch.graph(10), Init::PyTorch, 0);
//! let mut plan = EvalPlan::new(net.graph(), Dtype::Fp32, 1, 32, 32, &Cpu::new(2)?)?;
//! plan.load(&net);
//! let image = vec![0.5; 3 * 32 * 32]; // [channels][height][width], normalised
//! assert_eq!(plan.forward(Input::Nchw(&image), 1).len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod cpu;
mod device;
mod device_eval;
mod engine;
mod error;
#[cfg(feature = "gpu")]
mod gpu_eval;
pub mod hooks;
mod muon;
pub mod optim;
pub mod plan_summary;
pub mod profile;

pub use cpu::{EvalPlan, MICRO_BATCH_BYTES, TrainPlan};
pub use device::Device;
pub use device_eval::DeviceEvalPlan;
pub use engine::{Engine, EngineConfig};
pub use error::EngineError;
pub use hooks::Hooks;
#[cfg(feature = "gpu")]
pub use resnet_gpu as gpu;
pub use resnet_program::{
    Input, MicroBatch, PlanError, StepResult, Targets, interpret, lower, memory, program,
};
