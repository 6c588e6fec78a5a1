//! Training checkpoints.
//!
//! A checkpoint is a safetensors file with everything that the rest of a run depends on: the state
//! dict, the momentum as `optimizer.momentum_buffer.<parameter>`, the average of the weights (if the
//! run has one) as `ema.<name>` or `lookahead.<name>`, and the state of the run as JSON
//! in the metadata, under the keys of [`key`](crate::model_file::key).
//! [`train`](crate::train::train()) writes checkpoints and resumes from them;
//! [`Model::load`](crate::model_file::Model::load) reads one as a model.

mod error;
mod state;

pub use error::CheckpointError;
pub(crate) use state::{Restored, Stored, load, progress, save, state, torch_model};
