//! Networks as ONNX files, for ONNX Runtime and whatever else reads them.

use std::{io, path::{Path, PathBuf}};

use resnet_formats::{FormatError, NamedTensors, safetensors::Metadata};
use thiserror::Error;

use crate::{graph::GraphError, network::Network};

/// How a network is written.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// Whether batch norm is folded into the convolutions before it.
    pub fold: bool,
    /// The file's metadata, best under the keys of [`checkpoint::key`](crate::checkpoint::key).
    pub metadata: Metadata,
}

/// Why a network cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The graph breaks a rule.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The system refuses.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes a network.
///
/// # Errors
/// If the graph is none that runs here, or the file cannot be written.
pub fn export(net: &Network, path: &Path, options: &ExportOptions) -> Result<(), ExportError> {
    let _ = (net, path, options);
    todo!()
}

/// Reads a state dict and the metadata, as `safetensors::read` does.
///
/// # Errors
/// If the file cannot be read, is malformed, or holds a network of another family.
pub fn import(path: &Path) -> Result<(NamedTensors, Metadata), FormatError> {
    let _ = path;
    todo!()
}
