//! Checkpoints: a network, and where its training stands.

use std::path::{Path, PathBuf};

use resnet_formats::FormatError;
use thiserror::Error;

use crate::{
    data::Normalisation,
    models::Arch,
    network::{Network, StateDictError},
};

/// A trained network and what a file says about it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// Its architecture.
    pub arch: Arch,
    /// Class names, in label order; numbers where the file has no names.
    pub classes: Vec<String>,
    /// Rows and columns of the images it was trained on (or designed for, if the file is silent).
    pub image_size: usize,
    /// How its images are normalised, if the file says.
    pub normalisation: Option<Normalisation>,
    /// The file it was read from.
    pub path: PathBuf,
}

impl Model {
    /// Reads a model from a file, or from a run folder: its `best`, or `last` where no images were
    /// held out to choose by. `arch` is needed where the file does not say, and must agree where
    /// it does.
    pub fn load(_path: &Path, _arch: Option<Arch>) -> Result<Model, CheckpointError> {
        todo!()
    }
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file is missing, damaged, or cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file does not say which network it holds.
    #[error("{} does not name its architecture: give it with --arch", .0.display())]
    NoArch(PathBuf),
    /// The file holds another network.
    #[error("{} holds a {found}, not a {expected}", path.display())]
    OtherArch {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// Written by a later version.
    #[error("{} has format version {found}; this program reads version {known}: update it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The version that is read here.
        known: u32,
    },
    /// Its metadata is damaged.
    #[error("{}: metadata '{key}' {message}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Its tensors do not fit the network.
    #[error("{}: {source}", path.display())]
    StateDict {
        /// The file.
        path: PathBuf,
        /// Which tensor, and how.
        source: StateDictError,
    },
}
