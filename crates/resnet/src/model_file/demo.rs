//! The demo: a trained network that ships with the library.

use std::path::Path;

use resnet_formats::{FormatError, safetensors};

use super::{LoadOptions, Model, ModelFileError, Weights, state_dict::of_safetensors};

/// The word for the demo network where a path is expected. A file of this name is `./demo`.
pub const DEMO: &str = "demo";

/// A ResNet-20, trained on CIFAR-10 as `demo/README.md` describes.
const BYTES: &[u8] = include_bytes!("../../demo/resnet20-cifar10.safetensors");

impl Model {
    /// The demo network: a ResNet-20, trained on CIFAR-10, for 32x32 RGB images of its ten classes.
    ///
    /// ```
    /// let model = resnet::model_file::Model::demo();
    /// assert_eq!(model.class_names()[3], "cat");
    /// ```
    pub fn demo() -> Model {
        Model::open_demo(&LoadOptions::default()).expect("the shipped file is valid")
    }

    /// The demo network, if it has the requested architecture.
    pub(super) fn open_demo(asked: &LoadOptions) -> Result<Model, ModelFileError> {
        let path = Path::new(DEMO);
        let (tensors, metadata) = safetensors::from_bytes(BYTES)
            .map_err(|kind| FormatError { path: path.into(), kind })?;
        let contents = of_safetensors(path, tensors, metadata, &Weights::Usual)?;
        Model::from_contents(path, contents, asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_a_resnet20_for_cifar10() {
        let model = Model::load(Path::new(DEMO), None).unwrap();
        assert_eq!(model.arch.to_string(), "resnet20");
        assert_eq!(model.classes.as_ref().unwrap()[3], "cat");
        assert_eq!((model.image_size, model.resize), (32, None));
        assert!(model.normalisation.is_some() && model.notes.is_empty());
        let other = "resnet56".parse().ok();
        assert!(Model::load(Path::new(DEMO), other).is_err(), "it names its architecture");
        assert!(BYTES.len() < 1_200_000);
    }
}
