//! Errors of model files.

use std::path::{Path, PathBuf};

use resnet_formats::{FormatError, FormatErrorKind, Shown, brief, onnx::Malformed, printable};
use thiserror::Error;

use super::layout::FORMAT_VERSION;
use crate::network::StateDictError;

/// Why a model file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The file is missing or damaged.
    #[error("{}{}", .0, remedy(.0))]
    Format(#[from] FormatError),
    /// A folder without a model.
    #[error("{} is a folder without model.safetensors or pytorch_model.bin: give a folder with one of them, or a model file; the model of a run is in its checkpoint, which run::load_model finds", .0.shown())]
    NoModel(PathBuf),
    /// A folder that is neither one of a model nor a run with a checkpoint.
    #[error("{} is a folder without last.safetensors: not a run, or one without a checkpoint yet; give a run folder, a folder with model.safetensors or pytorch_model.bin, or a checkpoint", .0.shown())]
    NoCheckpoint(PathBuf),
    /// The file has another format.
    #[error("{} {what}: model files are safetensors, PyTorch or ONNX; {remedy}", path.shown())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The file has a network that is not one of the family, or several.
    #[error("{} {}", path.shown(), printable(message))]
    Network {
        /// The file.
        path: PathBuf,
        /// What was found.
        message: String,
    },
    /// A JSON file of a model's folder is damaged.
    #[error("{} is not a model's configuration: {}; {}", path.shown(), brief(message), ANOTHER)]
    FolderConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The `config.json` of a timm folder states preprocessing that is not supported.
    #[error("{} states {}; change it there", path.shown(), brief(message))]
    TimmPreprocessing {
        /// The file.
        path: PathBuf,
        /// What it states.
        message: String,
    },
    /// The file does not name its architecture, and it cannot be inferred from the tensors.
    #[error("{} names no architecture, and {}: give one with --arch, or another file", path.shown(), printable(message))]
    ArchNotInferred {
        /// The file.
        path: PathBuf,
        /// A description of its tensors.
        message: String,
    },
    /// The file has another architecture than the requested one.
    #[error("{} is a {found}, not a {expected}: give --arch {found}, or another file", path.shown())]
    OtherArch {
        /// The file.
        path: PathBuf,
        /// Its architecture.
        found: String,
        /// The requested one.
        expected: String,
    },
    /// The file is of a later version.
    #[error("{} has format version {found}, and this program reads up to {}: use a newer program", path.shown(), FORMAT_VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The metadata is damaged, or an entry is missing.
    #[error("{}: metadata '{key}' {}; {}", path.shown(), printable(message), ANOTHER)]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The tensors do not fit the network.
    #[error("{}: {source}; {}", path.shown(), ANOTHER)]
    StateDict {
        /// The file.
        path: PathBuf,
        /// Which tensor, and how.
        source: StateDictError,
    },
    /// A tensor has a value that is infinite or not a number.
    #[error("{}: tensor '{}' has values that are not finite, and nothing can be trained from it; {}", path.shown(), brief(tensor), ANOTHER)]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The tensors are not those of the architecture.
    #[error("{} is not a {arch}: {}; give its own architecture with --arch, or another file", path.shown(), printable(message))]
    NotThisArch {
        /// The file.
        path: PathBuf,
        /// The architecture.
        arch: String,
        /// What does not fit.
        message: String,
    },
    /// The network has other classes or channels than the data.
    #[error("{} has {found} {what}, but {} has {expected}: use it on data like its training data, or use another checkpoint", path.shown(), brief(data))]
    OtherData {
        /// The file.
        path: PathBuf,
        /// Name of the data set.
        data: String,
        /// `classes` or `channels of a pixel`.
        what: &'static str,
        /// How many the network has.
        found: usize,
        /// How many the data has.
        expected: usize,
    },
}

/// Advice about a damaged file.
pub(super) const ANOTHER: &str = "use an undamaged copy of it, or another checkpoint";

fn remedy(error: &FormatError) -> String {
    match error.kind {
        // Nothing is damaged.
        FormatErrorKind::Read(_)
        | FormatErrorKind::Call(_)
        | FormatErrorKind::Dtype { .. }
        | FormatErrorKind::Unsupported { .. }
        | FormatErrorKind::NoModel(_)
        | FormatErrorKind::NotTorch(_)
        | FormatErrorKind::SeveralModels(_)
        | FormatErrorKind::Onnx(
            Malformed::Foreign(_) | Malformed::ExternalData { .. } | Malformed::TooMany { .. },
        ) => String::new(),
        FormatErrorKind::NotAFile => {
            ": give a checkpoint or a run folder; save a pipe's data to a file first".to_owned()
        }
        _ => format!("; {ANOTHER}"),
    }
}

impl ModelFileError {
    /// Whether the file is damaged, so that another one may help.
    pub(crate) fn is_damage(&self) -> bool {
        use ModelFileError as E;
        matches!(
            self,
            E::Format(_) | E::UnknownFormat { .. } | E::Metadata { .. } | E::StateDict { .. }
        )
    }

    pub(crate) fn metadata(path: &Path, key: &'static str, message: impl ToString) -> Self {
        ModelFileError::Metadata { path: path.to_owned(), key, message: message.to_string() }
    }

    pub(crate) fn state_dict(path: &Path) -> impl Fn(StateDictError) -> Self {
        move |source| ModelFileError::StateDict { path: path.to_owned(), source }
    }
}
