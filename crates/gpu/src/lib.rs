//! Runs networks on a GPU of any maker, through `wgpu`: Vulkan, Metal or DirectX 12. No toolkit is needed, only the
//! system's driver.
//!
//! A [program](resnet_program::program) is lowered as for the processor. Each of its operations is one or more compute
//! kernels in WGSL (`shaders/`), which are compiled for their sizes. [`GpuEngine`] trains: everything that training
//! changes stays on the device, and results are read late. [`GpuEvalPlan`] is inference.
//!
//! Activations have the layout of the processor's ([`resnet_kernels::layout`]), in f32 or bfloat16; a thread handles four
//! channels. Sums are in f32, in an order that depends on shapes alone: the same bits twice on one device and driver,
//! and by one tile of products (`tune.rs`).
#![forbid(unsafe_code)]

mod buffer;
mod chunks;
mod clock;
mod device;
mod download;
mod engine;
mod error;
mod eval;
mod input;
mod kept;
mod kernel;
mod measured;
mod memory;
mod muon;
mod ops;
mod peaks;
mod pipeline;
mod settings;
mod train;
mod tune;
mod update;
mod workgroup;

pub use device::{DeviceInfo, DeviceKind, Gpu, devices};
pub use engine::GpuEngine;
pub use error::GpuError;
pub use eval::GpuEvalPlan;
pub use measured::Measured;
pub use peaks::GpuPeaks;
pub use settings::Settings;
pub use update::{Rule, UpdateRange};
