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

use crate::{FormatErrorKind, NamedTensors, Tensor};

mod checkpoint;
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

pub use module::{Attribute, Submodule};
#[cfg(test)]
use read::parse as parse_weights;
pub use read::{from_bytes, read, read_weights};
pub use weights::Weights;
pub use write::{write_checkpoint, write_state_dict};

/// The contents of a PyTorch file.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The layout of the pickle.
    pub layout: TorchLayout,
    /// The state dict in file order, under the file's names.
    pub model: NamedTensors,
    /// The key of the model, if it is in a dict.
    pub key: Option<String>,
    /// Keys of other models that could have been taken: the weights of which `model` is the average, or
    /// the average.
    pub other_keys: Vec<String>,
    /// The modules of a whole module, itself included, in the order of `named_modules()`.
    pub modules: Vec<Submodule>,
    /// The optimizer's state, if there is one and it is SGD's.
    pub optimizer: Option<Sgd>,
    /// Why the file's optimizer is not in `optimizer`.
    pub optimizer_note: Option<String>,
    /// Scalars next to the model, in file order: `epoch`, `best_prec1`, `arch`, `classes`, ... Class names
    /// in a dict (`class_to_idx`, `idx_to_class`) are a list; those in the dict of settings of another
    /// program are under its key: `hyper_parameters.classes`.
    pub scalars: Vec<(String, Scalar)>,
}

/// The layout of a file's pickle: what it is besides a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorchLayout {
    /// A dict of tensors.
    StateDict,
    /// A dict with a state dict or a module.
    Checkpoint,
    /// A whole pickled `nn.Module`.
    Module,
}

/// The state of a `torch.optim.SGD`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sgd {
    /// Parameter groups. Each parameter is in one of them.
    pub groups: Vec<SgdGroup>,
    /// The momentum buffer of each parameter, in the order of the groups; with one group this is
    /// the order of `Module.parameters()`. None before the first step.
    pub momentum: Vec<Option<Tensor>>,
}

/// A parameter group: its hyperparameters, and its number of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct SgdGroup {
    /// Learning rate.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// Dampening of momentum.
    pub dampening: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether Nesterov's momentum is used.
    pub nesterov: bool,
    /// Number of parameters. The groups have consecutive ranges of [`Sgd::momentum`].
    pub parameters: usize,
}

/// A scalar value of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A string.
    Text(String),
    /// A list of strings.
    TextList(Vec<String>),
}

type Result<T> = std::result::Result<T, FormatErrorKind>;

#[cfg(test)]
mod tests;
