//! PyTorch files: the zip form of today and the legacy form of before 1.6, read and written
//! without Python.

use std::{io, path::Path};

use crate::{FormatError, FormatErrorKind, NamedTensors, Tensor};

/// What a PyTorch file says about a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How the model lay in the file.
    pub form: Form,
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
pub enum Form {
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

/// Reads a file of either form.
///
/// # Errors
/// If the file cannot be read, is malformed, holds no model or several, or asks to call a function
/// that has no place in a file of weights.
pub fn read(path: &Path) -> Result<Checkpoint, FormatError> {
    let _ = path;
    todo!()
}

/// Reads what a file would hold; see [`read`].
///
/// # Errors
/// As [`read`], but for those of the system.
pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint, FormatErrorKind> {
    let _ = bytes;
    todo!()
}

/// Writes a state dict that `torch.load(weights_only=True)` takes. Equal input gives equal bytes.
///
/// # Errors
/// What the system says, as [`atomic_write`](crate::atomic_write) does.
pub fn write_state_dict(path: &Path, model: &NamedTensors) -> io::Result<()> {
    let _ = (path, model);
    todo!()
}

/// Writes `{"model": state dict, "optimizer": SGD's state dict, scalars...}`, which
/// `torch.load(weights_only=True)` takes. Equal input gives equal bytes.
///
/// # Errors
/// What the system says, as [`atomic_write`](crate::atomic_write) does; a scalar of the name
/// `model` or `optimizer` is an [`io::ErrorKind::InvalidInput`].
pub fn write_checkpoint(
    path: &Path,
    model: &NamedTensors,
    optimizer: &Sgd,
    scalars: &[(String, Scalar)],
) -> io::Result<()> {
    let _ = (path, model, optimizer, scalars);
    todo!()
}
