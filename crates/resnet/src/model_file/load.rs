//! A model by the path of its file.

use std::path::Path;

use super::{Contents, DEMO, Model, ModelFileError, timm};
use crate::models::Arch;

/// Whether a path is of a folder that is no model by itself.
pub(crate) fn is_plain_folder(path: &Path) -> bool {
    path != Path::new(DEMO) && path.is_dir() && !timm::is_folder(path)
}

impl Model {
    /// Reads a model from a file of any form, told from its first bytes, or from a folder as
    /// timm has them. The word [`demo`](DEMO) stands for the net that ships with the library.
    ///
    /// The architecture is what the file says, else `arch`, else what names and shapes of its
    /// tensors show; a file and `arch` that say different things are an error. Classes, channels
    /// and width are those of the tensors. Head and shortcuts may be called `fc` or `linear`,
    /// `downsample` or `shortcut`. A 1000-class `fc` without class names gets ImageNet's, and its
    /// preprocessing.
    ///
    /// # Errors
    /// If there is no such file, it is damaged, or it holds something else.
    pub fn load(path: &Path, arch: Option<Arch>) -> Result<Model, ModelFileError> {
        if path == Path::new(DEMO) {
            return Model::open_demo(arch);
        }
        let contents = Contents::read(path)?;
        Model::from_contents(path, contents, arch)
    }
}
