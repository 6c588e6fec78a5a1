//! Training checkpoints.
//!
//! A checkpoint is a network, and where its training stands, in one safetensors file: the tensors
//! are PyTorch's state dict and, as `optimizer.momentum_buffer.<parameter>`, the optimiser's; the
//! rest is JSON in the file's metadata, under the keys of [`key`](crate::model_file::key).

mod error;
mod state;

pub use error::CheckpointError;
pub(crate) use state::{Restored, load, save, torch_model};
