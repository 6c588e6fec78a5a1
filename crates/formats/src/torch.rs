//! Reads and writes PyTorch files without Python: the zip format, and for reading the legacy format
//! of PyTorch before 1.6.
//!
//! [`read()`] returns a [`Checkpoint`]. [`write_state_dict`] and [`write_checkpoint`] write files
//! for `torch.load(weights_only=True)`.
//!
//! A file has a pickle, and storages of which its tensors are views. No code of the pickle is
//! executed. f16, bf16 and f64 become f32, integers become i64.
//!
//! # Which model
//! A dict of tensors is a state dict. An object with `_parameters` and `_modules` is a module of
//! any class; its parameters and persistent buffers get the names of its `state_dict()`. In any
//! other dict the model is the value of
//!
//! 1. `state_dict_ema`, `model_ema`, `ema_state_dict` or `ema`, the average of the weights, as in timm's
//!    `load_state_dict(use_ema=True)`; or else
//! 2. `state_dict`, `model_state_dict`, `model_state`, `model`, `net`, `network`, `weights` or
//!    `module`; or else
//! 3. any key, if it is the only one with a state dict or a module.
//!
//! Two models at the same rank are an error. The value may be a dict that has the model in turn. A
//! [`Weights`] chooses another.
//!
//! The optimizer is under `optimizer`, `optimizer_state_dict`, `optimizer_state`, `optim`, or
//! `optim_state_dict`.

use crate::FormatErrorKind;

mod checkpoint;
mod contents;
mod labels;
mod legacy;
mod module;
mod optimizer;
mod pickler;
mod read;
mod scalars;
mod storages;
mod tensors;
mod weights;
mod write;

pub use contents::{
    Checkpoint, Optimizer, OptimizerGroup, OptimizerRule, ParameterState, Scalar, TorchLayout,
};
pub use module::{Attribute, Submodule};
#[cfg(test)]
use read::parse as parse_weights;
pub use read::{from_bytes, read, read_weights};
pub use weights::Weights;
pub use write::{write_checkpoint, write_state_dict};

type Result<T> = std::result::Result<T, FormatErrorKind>;

#[cfg(test)]
mod tests;
