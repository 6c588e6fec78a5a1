//! Models and checkpoints in files.
//!
//! A [`Model`] is read from a file of any form: safetensors, PyTorch, ONNX. A checkpoint is a
//! network, and where its training stands, in one safetensors file: the tensors are PyTorch's state
//! dict and, as `optimizer.momentum_buffer.<parameter>`, the optimiser's; the rest is JSON in the
//! file's metadata, under the keys of [`key`].

mod arch;
mod demo;
mod error;
mod file;
mod model;
mod optimizer;
mod save;
mod state;
mod timm;

use serde::Serialize;

pub use demo::DEMO;
pub use error::CheckpointError;
pub use file::{Contents, Form};
pub use model::Model;
pub use optimizer::Optimizer;
pub use save::Target;
pub(crate) use state::{load, save, torch_model};

/// Keys of the metadata.
pub mod key {
    /// Version of this layout: see [`FORMAT_VERSION`](super::FORMAT_VERSION).
    pub const FORMAT_VERSION: &str = "format_version";
    /// Name of the architecture.
    pub const ARCH: &str = "arch";
    /// Class names, in label order.
    pub const CLASSES: &str = "classes";
    /// Rows and columns of an image.
    pub const IMAGE_SIZE: &str = "image_size";
    /// Length of an image's shorter side before the middle is cut out of it; absent where images
    /// are resized to [`IMAGE_SIZE`] at once.
    pub const RESIZE: &str = "resize";
    /// Mean and standard deviation of each channel.
    pub const NORMALISATION: &str = "normalisation";
    /// The recipe, with every value.
    pub const RECIPE: &str = "recipe";
    /// Seed of the run.
    pub const SEED: &str = "seed";
    /// Instruction set of the kernels that it was trained with: on another one, results are not
    /// equal to the bit.
    pub const ISA: &str = "isa";
    /// Where training stands: steps, epoch, batch, and the sums over the epoch so far.
    pub const PROGRESS: &str = "progress";
    /// Figures of every epoch so far, as in `metrics.jsonl`.
    pub const METRICS: &str = "metrics";
    /// In ONNX files: `num_batches_tracked` of every batch norm, which only training reads.
    pub const BATCHES_TRACKED: &str = "num_batches_tracked";

    /// What is said of the run that a model is from.
    pub(super) const OF_RUN: [&str; 5] = [RECIPE, SEED, ISA, PROGRESS, METRICS];
}

/// Version of the layout that is written, and the highest that is read.
pub const FORMAT_VERSION: u32 = 1;

/// Prefix of the optimiser's tensors.
const MOMENTUM: &str = "optimizer.momentum_buffer.";

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("these types are always JSON")
}
