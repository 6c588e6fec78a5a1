//! Loads a model by path.

use std::path::Path;

use super::{Contents, DEMO, LoadOptions, Model, ModelFileError, folder};
use crate::models::Arch;

/// Whether a path is a folder, but neither one of a model nor the demo.
pub(crate) fn is_plain_folder(path: &Path) -> bool {
    path != Path::new(DEMO) && path.is_dir() && !folder::is_model(path)
}

impl Model {
    /// Loads a model from a file or folder: safetensors, PyTorch (`torch.save` of a state dict, a
    /// checkpoint dict or a whole module), ONNX, or a folder of timm or Hugging Face transformers. The
    /// path [`demo`](DEMO) is the network that ships with the library. The model of a run folder is loaded by
    /// [`run::load_model`](crate::run::load_model).
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
    /// names and shapes of the tensors. A file and `arch` that differ are an error. Classes, channels
    /// and width are those of the tensors. A whole module also states strides, pools and epsilons,
    /// which must be those of an architecture.
    ///
    /// The network may be under any prefix and next to other tensors; notes name what was left out. Its
    /// names may be torchvision's, transformers', weiaicunzai's, or those of an `nn.Sequential`, and the
    /// head may have any name. A 1000-class ImageNet network without class names gets ImageNet's names
    /// and preprocessing. Of a model and its average, the average is taken.
    ///
    /// # Errors
    /// If the file does not exist, is damaged, has an unknown format, or is not a network of the
    /// family.
    pub fn load(path: &Path, arch: Option<Arch>) -> Result<Model, ModelFileError> {
        Model::load_with(path, &arch.into())
    }

    /// Loads a model as [`Model::load`] does, and of several in a file the chosen one.
    ///
    /// # Errors
    /// As [`Model::load`], and if the file has no such weights.
    pub fn load_with(path: &Path, options: &LoadOptions) -> Result<Model, ModelFileError> {
        if path == Path::new(DEMO) {
            return Model::open_demo(options);
        }
        let contents = Contents::read_weights(path, &options.weights)?;
        Model::from_contents(path, contents, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_model_leads_to_what_loads_runs() {
        let folder = tempfile::tempdir().unwrap();
        let error = Model::load(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("without model.safetensors or pytorch_model.bin"), "{error}");
        assert!(error.contains("run::load_model"), "{error}");
    }
}
