//! Checkpoints: a network, and where its training stands, in one safetensors file.
//!
//! The tensors are PyTorch's state dict and, as `optimizer.momentum_buffer.<parameter>`, the
//! optimiser's; the rest is JSON in the file's metadata, under the keys of [`key`].

mod error;
mod model;
mod state;

pub use error::CheckpointError;
pub use model::Model;
pub(crate) use state::{load, save};

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
}

/// Version of the layout that is written, and the highest that is read.
pub const FORMAT_VERSION: u32 = 1;

/// Prefix of the optimiser's tensors.
const MOMENTUM: &str = "optimizer.momentum_buffer.";
