//! The trained net that ships with the library.

use std::path::Path;

use resnet_formats::{FormatError, safetensors};

use super::{Model, ModelFileError, state_dict::of_safetensors};
use crate::models::Arch;

/// What stands for the net in the place of a path; a file of that name is `./demo`.
pub const DEMO: &str = "demo";

/// A ResNet-20, trained on CIFAR-10: `demo/README.md` says how.
const BYTES: &[u8] = include_bytes!("../../demo/resnet20-cifar10.safetensors");

impl Model {
    /// The net that ships with the library: a ResNet-20 for the ten classes of CIFAR-10.
    pub fn demo() -> Model {
        Model::open_demo(None).expect("the file that ships is sound")
    }

    /// The same, if it is of the architecture that was asked for.
    pub(super) fn open_demo(asked: Option<Arch>) -> Result<Model, ModelFileError> {
        let path = Path::new(DEMO);
        let (tensors, metadata) = safetensors::from_bytes(BYTES)
            .map_err(|kind| FormatError { path: path.into(), kind })?;
        let contents = of_safetensors(path, tensors, metadata)?;
        Model::from_contents(path, contents, asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_knows_what_it_is() {
        let model = Model::load(Path::new(DEMO), None).unwrap();
        assert_eq!(model.arch.to_string(), "resnet20");
        assert_eq!(model.classes.as_ref().unwrap()[3], "cat");
        assert_eq!((model.image_size, model.resize), (32, None));
        assert!(model.normalisation.is_some() && model.notes.is_empty());
        let other = "resnet56".parse().ok();
        assert!(Model::load(Path::new(DEMO), other).is_err(), "it says what it is");
        assert!(BYTES.len() < 1_200_000);
    }
}
