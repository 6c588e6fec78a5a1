//! Models of files, for programs that serve them.

use std::path::{Path, PathBuf};

use resnet::{
    Device, Dtype,
    model_file::{DEMO, LoadOptions},
    predictor::Predictor,
    run::{load_model, model_path},
};

use crate::registry::{LoadError, ModelSource};

/// The model in a file or a run folder, as [`load_model`] reads it. Photos are normalised as the file says,
/// or else as is [usual](resnet::model_file::Model::usual_normalisation) for the network.
#[derive(Clone, Debug)]
pub struct FromFile {
    path: PathBuf,
    dtype: Dtype,
    device: Device,
}

impl FromFile {
    /// The model at `path`, computed in `dtype` on a device. It is not read before the service loads it.
    pub fn new(path: impl Into<PathBuf>, dtype: Dtype, device: impl Into<Device>) -> FromFile {
        FromFile { path: path.into(), dtype, device: device.into() }
    }
}

impl ModelSource for FromFile {
    fn path(&self) -> Option<PathBuf> {
        model_path(&self.path).ok().filter(|path| path != Path::new(DEMO))
    }

    fn load(&self) -> Result<Predictor, LoadError> {
        let model = load_model(&self.path, &LoadOptions::default())?;
        Ok(Predictor::new(model, None, self.dtype, &self.device)?)
    }
}

#[cfg(test)]
mod tests {
    use resnet::{
        Arch, Cpu, Network,
        model_file::{Model, SaveFormat},
        network::Init,
        run::LAST,
    };

    use super::*;

    #[test]
    fn the_model_of_a_run_folder_is_its_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let source = FromFile::new(dir.path(), Dtype::Fp32, &Cpu::new(1).unwrap());
        assert_eq!(source.path(), None);
        let error = source.load().unwrap_err().to_string();
        assert!(error.contains("without last.safetensors"), "{error}");
        let (last, model) = (dir.path().join(LAST), Model::demo());
        model.save(&last, SaveFormat::Safetensors).unwrap();
        assert_eq!(source.path(), Some(last));
        assert_eq!(source.load().unwrap().classes(), model.class_names());
    }

    #[test]
    fn a_model_without_its_normalisation_has_the_usual_one_if_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net.safetensors");
        let source = FromFile::new(&path, Dtype::Fp32, &Cpu::new(1).unwrap());
        for (channels, is_usual) in [(3, true), (1, false)] {
            let arch = "resnet8".parse::<Arch>().unwrap();
            let graph = arch.graph_with(channels, 2, arch.width());
            let network = Network::new(graph, Init::PyTorch, 0);
            Model::new(arch, network).save(&path, SaveFormat::Safetensors).unwrap();
            assert_eq!(source.load().is_ok(), is_usual, "{channels} channels");
        }
    }
}
