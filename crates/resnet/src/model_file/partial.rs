//! The weights of a file that is not a whole network of the family, for a new run.

use std::{collections::HashMap, path::Path};

use resnet_formats::{NamedTensors, Tensor, brief};

use super::{Contents, LoadOptions, ModelFileError, understand::understand};
use crate::{
    models::{Arch, canonical_names},
    network::Network,
};

/// The stem and stages of a file, with or without a head.
#[derive(Clone, Debug)]
pub struct Partial {
    /// The requested architecture, else that of the tensors.
    pub arch: Arch,
    /// What was left out when the file was read.
    pub notes: Vec<String>,
    tensors: NamedTensors,
}

impl Partial {
    /// Reads a file.
    ///
    /// # Errors
    /// If the file cannot be read, or has no stem and stages of the family.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Partial, ModelFileError> {
        let contents = Contents::read_weights(path, &options.weights)?;
        let found = LoadOptions { arch: None, ..options.clone() };
        let understood = understand(path, contents, &found)?;
        let arch = options.arch.unwrap_or(understood.arch);
        let mut tensors = understood.state.tensors;
        canonical_names(&mut tensors, arch.family);
        Ok(Partial { arch, notes: understood.notes, tensors })
    }

    /// Loads the tensors of a network that the file has in the same shape, and returns the names of the
    /// layers that keep their values. None if fewer than half of the layers would be loaded.
    pub fn fill(&self, network: &mut Network) -> Option<Vec<String>> {
        let theirs: HashMap<&str, &Tensor> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut state = network.state_dict();
        let (mut kept, mut all) = (Vec::new(), 0);
        for (name, tensor) in &mut state {
            let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer);
            let is_first = name.ends_with(".weight");
            all += usize::from(is_first);
            match theirs.get(name.as_str()) {
                Some(their) if their.shape == tensor.shape => *tensor = (*their).clone(),
                _ if is_first => kept.push(layer.to_owned()),
                _ => {}
            }
        }
        if 2 * kept.len() > all || network.load_state_dict(&state).is_err() {
            return None;
        }
        Some(kept)
    }
}

/// Layers for a message: the first few, and how many more.
pub(crate) fn listed(layers: &[String]) -> String {
    let names = layers.iter().take(3).map(|name| brief(name).to_string());
    let names = names.collect::<Vec<_>>().join(", ");
    match layers.len() {
        0..=3 => names,
        count => format!("{names} and {} more", count - 3),
    }
}
