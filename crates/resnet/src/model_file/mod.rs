//! Loads and saves models: safetensors, PyTorch, ONNX, and folders of timm and transformers.
//!
//! [`Model::load`] detects the format and returns the network with its class names and
//! preprocessing. [`Model::save`] writes any of the [formats](SaveFormat).
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! use resnet::{Arch, Network, model_file::{Model, SaveFormat}, network::Init};
//!
//! let arch: Arch = "resnet8".parse()?;
//! let net = Network::new(arch.graph(10), Init::PyTorch, 0);
//! let file = dir.path().join("net.pt");
//! Model::new(arch, net.clone()).save(&file, SaveFormat::StateDict)?; // as torch.save does
//! let model = Model::load(&file, Some(arch))?;
//! assert_eq!(model.network.state_dict(), net.state_dict());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Architecture, class names and preprocessing are in the file's metadata, under the keys of
//! [`key`]. A training checkpoint is such a file too. Of its run's state, only the optimiser is
//! interpreted here; the rest is passed on unchanged.

mod arch;
mod contents;
mod decimal;
mod demo;
mod error;
mod folder;
mod hub_files;
pub mod key;
mod kind;
mod layout;
mod load;
mod load_options;
mod locate;
mod masks;
mod metadata;
mod model;
mod modules;
mod naming;
pub mod onnx;
mod optimizer_groups;
mod optimizer_state;
mod partial;
mod preprocessing;
mod published;
mod pytorch;
mod read;
mod rest;
mod save;
mod state_dict;
mod timm;
mod transformers;
mod understand;

#[cfg(test)]
mod tests;

pub use contents::FileFormat;
pub use demo::DEMO;
pub use error::ModelFileError;
pub use layout::FORMAT_VERSION;
pub use load_options::LoadOptions;
pub use model::Model;
pub use optimizer_state::OptimizerState;
pub use partial::Partial;
pub use published::PublishedWeights;
pub use resnet_formats::torch::Weights;
pub use save::SaveFormat;

pub(crate) use arch::named_arch;
pub(crate) use contents::Contents;
pub(crate) use decimal::decimal;
pub(crate) use layout::{EMA, LOOKAHEAD, OPTIMIZER, STEP, version};
pub(crate) use load::is_plain_folder;
pub(crate) use metadata::{check_version, entry, json};
pub(crate) use partial::listed;
