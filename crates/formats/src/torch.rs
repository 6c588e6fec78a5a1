//! PyTorch files: the zip form of today and the legacy form of before 1.6, read and written
//! without Python.
//!
//! A file holds a pickle, and storages that its tensors are views of. The pickle is read by a
//! machine that runs nothing; f16, bf16 and f64 become f32, and integers i64.
//!
//! # Which model
//! A dict of tensors is a state dict; an object that has `_parameters` and `_modules` is a module,
//! whatever its class, and its parameters and persistent buffers get the names that
//! `state_dict()` gives them. In any other dict the model is what lies under
//!
//! 1. `state_dict`, `model_state_dict`, `model_state`, `model`, `net`, `network`, `weights` or
//!    `module`; or else
//! 2. `state_dict_ema`, `model_ema`, `ema_state_dict`, `ema`; or else
//! 3. whatever key there is, if it is the only one that holds a state dict or a module.
//!
//! Two that are equally good are an error. The model may lie in a dict there once more.
//!
//! The optimizer is under `optimizer`, `optimizer_state_dict`, `optimizer_state`, `optim`, or
//! `optim_state_dict`.

use crate::{FormatErrorKind, NamedTensors, Tensor};

mod checkpoint;
mod legacy;
mod module;
mod optimizer;
mod pickler;
mod read;
mod scalars;
mod storages;
mod tensors;
mod write;

pub use read::{from_bytes, read};
pub use write::{write_checkpoint, write_state_dict};

/// What a PyTorch file says about a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How the model lay in the file.
    pub layout: TorchLayout,
    /// The state dict in file order. Prefixes `module.`, `model.` and `_orig_mod.` are stripped
    /// where all keys share one.
    pub model: NamedTensors,
    /// The optimizer's state, if there is one and it is SGD's.
    pub optimizer: Option<Sgd>,
    /// Why there is an optimizer in the file, but none in `optimizer`.
    pub optimizer_note: Option<String>,
    /// Plain values beside the model, in file order: `epoch`, `best_prec1`, `arch`, `classes`, ...
    pub scalars: Vec<(String, Scalar)>,
}

/// How a model lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorchLayout {
    /// A dict of tensors.
    StateDict,
    /// A dict that holds a state dict or a module.
    Checkpoint,
    /// A whole pickled `nn.Module`.
    Module,
}

/// The state of a `torch.optim.SGD`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sgd {
    /// Parameter groups; each parameter is in one of them.
    pub groups: Vec<SgdGroup>,
    /// The momentum buffer of each parameter, in the order of the groups' parameters, which is that
    /// of `Module.parameters()` where there is one group; none before the first step.
    pub momentum: Vec<Option<Tensor>>,
}

/// Hyperparameters of some parameters.
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
    /// Number of parameters; the groups take them from [`Sgd::momentum`] one after the other.
    pub parameters: usize,
}

/// A plain value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// An integer.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of texts.
    TextList(Vec<String>),
}

type Result<T> = std::result::Result<T, FormatErrorKind>;

#[cfg(test)]
mod tests;
