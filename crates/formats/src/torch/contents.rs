//! What a PyTorch file has.

use super::Submodule;
use crate::{NamedTensors, Tensor};

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
