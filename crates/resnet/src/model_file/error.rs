//! What can be wrong with a model file.

use std::path::{Path, PathBuf};

use resnet_formats::{FormatError, FormatErrorKind, Shown, brief, printable};
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
    /// A folder that holds no checkpoint.
    #[error("{} is a folder without last.safetensors, so no run, or one without a checkpoint yet: name a run folder or a checkpoint", .0.shown())]
    NoCheckpoint(PathBuf),
    /// The file is of no form that is read.
    #[error("{} {what}: what is read is safetensors, PyTorch and ONNX; {}", path.shown(), ANOTHER)]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The `config.json` of a timm folder is damaged.
    #[error("{} is no timm configuration: {}; {}", path.shown(), brief(message), ANOTHER)]
    TimmConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The file does not say which network it holds, nor do its tensors.
    #[error("{} names no architecture, and {}: give one with --arch, or another file", path.shown(), printable(message))]
    ArchNotInferred {
        /// The file.
        path: PathBuf,
        /// What its tensors are like.
        message: String,
    },
    /// The file holds another network.
    #[error("{} holds {found}, not {expected}: ask for that with --arch {found}, or name another file", path.shown())]
    OtherArch {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// Written by a later version.
    #[error("{} has format version {found}, and {} is the highest known here: use a newer program", path.shown(), FORMAT_VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Its metadata is damaged, or lacks what is needed.
    #[error("{}: metadata '{key}' {}; {}", path.shown(), printable(message), ANOTHER)]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Its tensors do not fit the network.
    #[error("{}: {source}; {}", path.shown(), ANOTHER)]
    StateDict {
        /// The file.
        path: PathBuf,
        /// Which tensor, and how.
        source: StateDictError,
    },
    /// Its tensors are not those of the architecture.
    #[error("{} is not a {arch}: {}; give its own architecture with --arch, or another file", path.shown(), printable(message))]
    NotThisArch {
        /// The file.
        path: PathBuf,
        /// The architecture.
        arch: String,
        /// What is missing or does not fit.
        message: String,
    },
    /// The network is for other data.
    #[error("{} is for {found} {what}, and {} has {expected}: use it on data like that it was trained on, or another checkpoint", path.shown(), brief(data))]
    OtherData {
        /// The file.
        path: PathBuf,
        /// Name of the data set.
        data: String,
        /// Classes or channels.
        what: &'static str,
        /// How many the network has.
        found: usize,
        /// How many the data has.
        expected: usize,
    },
}

/// What to do about a damaged file.
const ANOTHER: &str = "use an undamaged copy of it, or another checkpoint";

fn remedy(error: &FormatError) -> String {
    match error.kind {
        FormatErrorKind::Read(_) => String::new(),
        FormatErrorKind::NotAFile => {
            ": name a checkpoint or a run folder, and save what a pipe has to a file first"
                .to_owned()
        }
        _ => format!("; {ANOTHER}"),
    }
}

impl ModelFileError {
    /// Whether the file is damaged, so that another one may do.
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
