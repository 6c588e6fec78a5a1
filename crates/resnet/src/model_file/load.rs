//! Loads a model by path.

use std::path::Path;

use super::{Contents, DEMO, Model, ModelFileError, timm};
use crate::models::Arch;

/// Whether a path is a folder, but neither a timm folder nor the demo.
pub(crate) fn is_plain_folder(path: &Path) -> bool {
    path != Path::new(DEMO) && path.is_dir() && !timm::is_folder(path)
}

impl Model {
    /// Loads a model from a file or folder: safetensors, PyTorch (`torch.save` of a state dict, a
    /// checkpoint dict or a whole module), ONNX, or a timm folder. The path [`demo`](DEMO) is the
    /// network that ships with the library.
    ///
    /// ```no_run
    /// use std::path::Path;
    /// use resnet::model_file::Model;
    ///
    /// let model = Model::load(Path::new("resnet18-f37072fd.pth"), None)?; // of torchvision
    /// println!("{}, {} classes", model.arch, model.class_names().len());
    /// # Ok::<(), resnet::model_file::ModelFileError>(())
    /// ```
    ///
    /// The architecture is the one that the file names, else `arch`, else it is inferred from the
    /// names and shapes of the tensors. A file and `arch` that differ are an error. Classes,
    /// channels and width are those of the tensors. The head may be called `fc` or `linear`,
    /// shortcuts `downsample` or `shortcut`. A 1000-class ImageNet network without class names gets
    /// ImageNet's names and preprocessing.
    ///
    /// # Errors
    /// If the file does not exist, is damaged, has an unknown format, or is not a network of the
    /// family.
    pub fn load(path: &Path, arch: Option<Arch>) -> Result<Model, ModelFileError> {
        if path == Path::new(DEMO) {
            return Model::open_demo(arch);
        }
        let contents = Contents::read(path)?;
        Model::from_contents(path, contents, arch)
    }
}
