//! Models in files.
//!
//! A [`Model`] is read from a file of any form: safetensors, PyTorch, ONNX. What it is beside its
//! tensors (architecture, class names, preprocessing) stands in the file's metadata, under the keys
//! of [`key`]. A training run's checkpoint is such a file as well; of what it says of the run only
//! the optimiser is understood here, and the rest passed on as it is.

mod arch;
mod contents;
mod demo;
mod error;
pub mod key;
mod layout;
mod load;
mod metadata;
mod model;
pub mod onnx;
mod optimizer_state;
mod preprocessing;
mod pytorch;
mod read;
mod save;
mod state_dict;
mod timm;

pub use contents::{Contents, FileFormat};
pub use demo::DEMO;
pub use error::ModelFileError;
pub use layout::FORMAT_VERSION;
pub use model::Model;
pub use optimizer_state::OptimizerState;
pub use save::SaveFormat;

pub(crate) use arch::named_arch;
pub(crate) use layout::MOMENTUM;
pub(crate) use load::is_plain_folder;
pub(crate) use metadata::{check_version, entry, json};
pub(crate) use optimizer_state::decimal;
