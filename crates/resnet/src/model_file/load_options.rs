//! What to load of a file.

use resnet_formats::torch::Weights;

use crate::models::Arch;

/// What to load of a file.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The architecture; none for the file's.
    pub arch: Option<Arch>,
    /// Which weights to take of a file with several.
    pub weights: Weights,
}

impl From<Option<Arch>> for LoadOptions {
    fn from(arch: Option<Arch>) -> Self {
        LoadOptions { arch, weights: Weights::Usual }
    }
}
