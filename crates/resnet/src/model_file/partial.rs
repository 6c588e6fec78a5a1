//! The weights of a file that is not a whole network of the family, for a new run.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

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
        let mut understood = understand(path, contents, &found)?;
        if options.arch.is_none() {
            understood.notes.extend(understood.inferred);
        }
        let arch = options.arch.unwrap_or(understood.arch);
        let mut tensors = understood.state.tensors;
        canonical_names(&mut tensors, arch.family);
        Ok(Partial { arch, notes: understood.notes, tensors })
    }

    /// Channels of the stem, if the file has one.
    pub fn width(&self) -> Option<usize> {
        let stem = self.tensors.iter().find(|(name, _)| name == "conv1.weight");
        stem.and_then(|(_, weight)| weight.shape.first().copied())
    }

    /// Loads the tensors of a network that the file has in the same shape, and returns the names of the
    /// layers that keep their values. None if these are others than stem and head, or if the file has
    /// blocks that the network has not: then it is another network.
    pub fn fill(&self, network: &mut Network) -> Option<Vec<String>> {
        let theirs: HashMap<&str, &Tensor> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut state = network.state_dict();
        let ours: HashSet<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
        if theirs.keys().any(|name| name.starts_with("layer") && !ours.contains(name)) {
            return None;
        }
        let mut kept = Vec::new();
        for (name, tensor) in &mut state {
            let (layer, last) = name.rsplit_once('.').unwrap_or((name, ""));
            match theirs.get(name.as_str()) {
                Some(their) if their.shape == tensor.shape => *tensor = (*their).clone(),
                _ if name.starts_with("layer") && last != "num_batches_tracked" => return None,
                _ if last == "weight" => kept.push(layer.to_owned()),
                _ => {}
            }
        }
        network.load_state_dict(&state).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Init;

    fn network(arch: &str, seed: u64) -> Network {
        let arch: Arch = arch.parse().unwrap();
        Network::new(arch.graph_with(3, 5, 2), Init::PyTorch, seed)
    }

    #[test]
    fn only_stem_and_head_may_be_missing() {
        let of = |arch: &str, left_out: &[&str]| {
            let mut tensors = network(arch, 1).state_dict();
            tensors.retain(|(name, _)| !left_out.iter().any(|start| name.starts_with(start)));
            Partial { arch: arch.parse().unwrap(), notes: vec![], tensors }
        };
        let mut net = network("resnet14", 0);
        let kept = of("resnet14", &["linear", "conv1"]).fill(&mut net).unwrap();
        assert_eq!(kept, ["conv1", "linear"]);
        let (filled, drawn, theirs) =
            (net.state_dict(), network("resnet14", 0).state_dict(), network("resnet14", 1));
        for ((tensor, drawn), their) in filled.iter().zip(&drawn).zip(&theirs.state_dict()) {
            let is_kept = kept.iter().any(|layer| tensor.0.starts_with(&format!("{layer}.")));
            assert_eq!(tensor, if is_kept { drawn } else { their });
        }
        for other in [of("resnet14", &["layer1.1"]), of("resnet20", &[]), of("resnet8", &[])] {
            let mut net = network("resnet14", 0);
            assert_eq!(other.fill(&mut net), None);
            assert_eq!(net.state_dict(), drawn);
        }
        assert_eq!(listed(&["a", "b", "c", "d", "e"].map(str::to_owned)), "a, b, c and 2 more");
    }
}
