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
    /// The optimizer's state, if there is one and it is SGD's or AdamW's.
    pub optimizer: Option<Optimizer>,
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

/// The state of a `torch.optim.SGD` or `torch.optim.AdamW`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Optimizer {
    /// Parameter groups, of one kind of optimizer. Each parameter is in one of them.
    pub groups: Vec<OptimizerGroup>,
    /// The state of each parameter, in the order of the groups; with one group this is the order of
    /// `Module.parameters()`. Empty before the first step.
    pub state: Vec<ParameterState>,
}

/// What an optimizer keeps of a parameter, by the names of [`OptimizerRule::state`].
pub type ParameterState = Vec<(&'static str, Tensor)>;

/// A parameter group: its hyperparameters, and its number of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerGroup {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// The optimizer.
    pub rule: OptimizerRule,
    /// Number of parameters. The groups have consecutive ranges of [`Optimizer::state`].
    pub parameters: usize,
}

/// An optimizer, with the hyperparameters that only it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerRule {
    /// `torch.optim.SGD`.
    Sgd {
        /// Momentum.
        momentum: f64,
        /// Dampening of momentum.
        dampening: f64,
        /// Whether Nesterov's momentum is used.
        nesterov: bool,
    },
    /// `torch.optim.AdamW`.
    AdamW {
        /// Decay of the averages of the gradient and of its square.
        betas: [f64; 2],
        /// Added to the root of the average square.
        eps: f64,
    },
}

impl OptimizerRule {
    /// PyTorch's names of what it keeps of a parameter.
    pub fn state(&self) -> &'static [&'static str] {
        match self {
            OptimizerRule::Sgd { .. } => &["momentum_buffer"],
            OptimizerRule::AdamW { .. } => &["exp_avg", "exp_avg_sq", "step"],
        }
    }
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
