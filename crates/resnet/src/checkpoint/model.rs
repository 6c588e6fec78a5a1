//! Models from files.

use std::path::{Path, PathBuf};

use resnet_formats::{
    NamedTensors, Tensor,
    safetensors::{self, Metadata},
};
use serde::de::DeserializeOwned;

use super::{CheckpointError, FORMAT_VERSION, MOMENTUM, key};
use crate::{
    config::TrainConfig,
    data::Normalisation,
    graph::{Graph, Op},
    models::{Arch, Family},
    network::{Init, Network},
    run::{BEST, CONFIG, LAST},
};

/// A trained network and what its file says about it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// Its architecture.
    pub arch: Arch,
    /// Class names, in label order; numbers where the file has no names.
    pub classes: Vec<String>,
    /// Rows and columns of the images it was trained on; those it was designed for where the file
    /// is silent.
    pub image_size: usize,
    /// How its images are normalised, if the file says.
    pub normalisation: Option<Normalisation>,
    /// The file it was read from.
    pub path: PathBuf,
}

impl Model {
    /// Reads a model from a file, or from a run folder: its `best`, or `last` where no images were
    /// held out to choose by. `arch` is needed where the file does not say, and must agree where
    /// it does. Classes, channels and width are those of the file's tensors.
    ///
    /// # Errors
    /// If there is no such file, it is damaged, or it holds something else.
    pub fn load(path: &Path, arch: Option<Arch>) -> Result<Model, CheckpointError> {
        let path = if path.is_dir() { file_of_run(path)? } else { path.to_owned() };
        let (tensors, metadata) = safetensors::read(&path)?;
        Model::new(&path, tensors, &metadata, arch)
    }

    fn new(
        path: &Path,
        mut tensors: NamedTensors,
        metadata: &Metadata,
        arch: Option<Arch>,
    ) -> Result<Model, CheckpointError> {
        check_version(path, metadata)?;
        let arch = resolve_arch(path, metadata, arch)?;
        tensors.retain(|(name, _)| !name.starts_with(MOMENTUM));
        let graph = graph_of(path, arch, &tensors)?;
        let classes = match entry::<Vec<String>>(path, metadata, key::CLASSES)? {
            Some(names) if names.len() != graph.classes() => {
                let message = format!("has {} names for {} classes", names.len(), graph.classes());
                return Err(CheckpointError::metadata(path, key::CLASSES, message));
            }
            Some(names) => names,
            None => (0..graph.classes()).map(|class| class.to_string()).collect(),
        };
        let normalisation: Option<Normalisation> = entry(path, metadata, key::NORMALISATION)?;
        if normalisation.as_ref().is_some_and(|n| !n.is_usable(graph.in_channels())) {
            let message = "is not a finite mean and a positive deviation for each channel";
            return Err(CheckpointError::metadata(path, key::NORMALISATION, message));
        }
        let image_size = match entry(path, metadata, key::IMAGE_SIZE)? {
            Some(size) if !(1..=MAX_IMAGE_SIZE).contains(&size) => {
                let message = format!("is {size}, not 1 to {MAX_IMAGE_SIZE}");
                return Err(CheckpointError::metadata(path, key::IMAGE_SIZE, message));
            }
            Some(size) => size,
            None => arch.image_size(),
        };
        let mut network = Network::new(graph, Init::PyTorch, 0);
        network.load_state_dict(&tensors).map_err(CheckpointError::state_dict(path))?;
        Ok(Model { network, arch, classes, image_size, normalisation, path: path.to_owned() })
    }

    /// Whether the network is for so many classes and channels of a pixel, which are those of
    /// `data`.
    ///
    /// # Errors
    /// [`CheckpointError::OtherData`].
    pub fn check_fit(
        &self,
        data: &str,
        classes: usize,
        channels: usize,
    ) -> Result<(), CheckpointError> {
        let graph = self.network.graph();
        for (what, found, expected) in [
            ("classes", graph.classes(), classes),
            ("channels of a pixel", graph.in_channels(), channels),
        ] {
            if found != expected {
                let (path, data) = (self.path.clone(), data.to_owned());
                return Err(CheckpointError::OtherData { path, data, what, found, expected });
            }
        }
        Ok(())
    }
}

/// Beyond any image that could be meant.
const MAX_IMAGE_SIZE: usize = 1 << 14;

/// The checkpoint that stands for a run.
fn file_of_run(folder: &Path) -> Result<PathBuf, CheckpointError> {
    let (best, last) = (folder.join(BEST), folder.join(LAST));
    if best.is_file() && TrainConfig::read(&folder.join(CONFIG))?.data.split > 0 {
        Ok(best)
    } else if last.is_file() {
        Ok(last)
    } else {
        Err(CheckpointError::NoCheckpoint(folder.to_owned()))
    }
}

pub(super) fn check_version(path: &Path, metadata: &Metadata) -> Result<(), CheckpointError> {
    match entry::<u32>(path, metadata, key::FORMAT_VERSION)? {
        Some(found) if found > FORMAT_VERSION => {
            Err(CheckpointError::Version { path: path.to_owned(), found })
        }
        _ => Ok(()),
    }
}

/// The architecture that the file names, or that was asked for, or both agree on.
pub(super) fn resolve_arch(
    path: &Path,
    metadata: &Metadata,
    asked: Option<Arch>,
) -> Result<Arch, CheckpointError> {
    let named: Option<Arch> = match metadata.get(key::ARCH) {
        Some(name) => {
            let arch = name.parse();
            Some(arch.map_err(|error| CheckpointError::metadata(path, key::ARCH, error))?)
        }
        None => None,
    };
    match (named, asked) {
        (Some(found), Some(expected)) if found != expected => Err(CheckpointError::OtherArch {
            path: path.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        }),
        (named, asked) => named.or(asked).ok_or_else(|| CheckpointError::NoArch(path.to_owned())),
    }
}

/// A JSON entry of the metadata.
pub(super) fn entry<T: DeserializeOwned>(
    path: &Path,
    metadata: &Metadata,
    key: &'static str,
) -> Result<Option<T>, CheckpointError> {
    let parse = |text: &String| {
        serde_json::from_str(text)
            .map_err(|e| CheckpointError::metadata(path, key, format!("is damaged: {e}")))
    };
    metadata.get(key).map(parse).transpose()
}

/// The architecture's graph, with the channels, width and classes that its first and last weight
/// show. Nothing is allocated by what a file claims: its tensors are in memory already, and the
/// graph must not have more parameters than they.
fn graph_of(path: &Path, arch: Arch, tensors: &NamedTensors) -> Result<Graph, CheckpointError> {
    let wrong = |message: String| CheckpointError::NotThisArch {
        path: path.to_owned(),
        arch: arch.to_string(),
        message,
    };
    let shape = |name: &str| {
        let tensor: Option<&(String, Tensor)> = tensors.iter().find(|(n, _)| n == name);
        let (_, tensor) = tensor.ok_or_else(|| wrong(format!("it has no tensor '{name}'")))?;
        if tensor.data.is_empty() {
            return Err(wrong(format!("its tensor '{name}' is empty")));
        }
        Ok(tensor.shape.as_slice())
    };
    let head = if arch.family == Family::ImageNet { "fc.weight" } else { "linear.weight" };
    let (&[width, in_channels, ..], &[classes, _]) = (shape("conv1.weight")?, shape(head)?) else {
        return Err(wrong(format!("'conv1.weight' or '{head}' has too few dimensions")));
    };
    let graph = arch.graph_with(in_channels, classes, width);
    let held: u128 = tensors.iter().map(|(_, tensor)| tensor.data.len() as u128).sum();
    let needed = weights(&graph);
    if needed > held {
        return Err(wrong(format!("it holds {held} values, of at least {needed}")));
    }
    Ok(graph)
}

/// Weights of convolutions and linear layers.
fn weights(graph: &Graph) -> u128 {
    let nodes = graph.nodes();
    let weights = nodes.iter().map(|node| {
        let area = match node.op {
            Op::Conv2d { kernel, .. } => kernel * kernel,
            Op::Linear => 1,
            _ => return 0,
        };
        area as u128 * nodes[node.inputs[0]].channels as u128 * node.channels as u128
    });
    weights.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: &[(&str, &str)]) -> Metadata {
        entries.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn message<T: std::fmt::Debug>(result: Result<T, CheckpointError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn the_file_and_the_user_must_agree_on_the_architecture() {
        let path = Path::new("x.safetensors");
        let (named, silent) = (metadata(&[("arch", "resnet20")]), Metadata::new());
        let arch = |name: &str| Some(name.parse::<Arch>().unwrap());
        assert_eq!(resolve_arch(path, &named, None).ok(), arch("resnet20"));
        assert_eq!(resolve_arch(path, &named, arch("resnet20")).ok(), arch("resnet20"));
        assert_eq!(resolve_arch(path, &silent, arch("resnet8")).ok(), arch("resnet8"));
        assert_eq!(
            message(resolve_arch(path, &named, arch("resnet56"))),
            "x.safetensors holds resnet20, not resnet56: ask for that with --arch resnet20, or \
             name another file"
        );
        assert!(message(resolve_arch(path, &silent, None)).contains("--arch"));
        let unknown = metadata(&[("arch", "vgg16")]);
        assert!(message(resolve_arch(path, &unknown, None)).contains("'vgg16'"));
    }

    #[test]
    fn a_model_must_fit_the_data() {
        let arch: Arch = "resnet8".parse().unwrap();
        let fit = |channels, classes| {
            let network = Network::new(arch.graph_with(channels, classes, 4), Init::PyTorch, 0);
            let path = "m.safetensors".into();
            let model =
                Model { network, arch, classes: vec![], image_size: 32, normalisation: None, path };
            model.check_fit("synthetic", 10, 3)
        };
        assert!(fit(3, 10).is_ok());
        let error = message(fit(3, 5));
        assert!(
            error.starts_with("m.safetensors is for 5 classes, and synthetic has 10"),
            "{error}"
        );
        assert!(message(fit(1, 10)).contains("for 1 channels of a pixel, and synthetic has 3"));
    }

    #[test]
    fn a_normalisation_must_be_usable() {
        let arch: Arch = "resnet8".parse().unwrap();
        let tensors = Network::new(arch.graph(10), Init::PyTorch, 0).state_dict();
        let load = |normalisation| {
            let entries = metadata(&[("arch", "resnet8"), ("normalisation", normalisation)]);
            Model::new(Path::new("x"), tensors.clone(), &entries, None)
        };
        assert!(load(r#"{"mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]}"#).is_ok());
        for wrong in [
            r#"{"mean":[0.5,0.5],"std":[0.25,0.25]}"#,
            r#"{"mean":[1e39,0.5,0.5],"std":[0.25,0.25,0.25]}"#,
            r#"{"mean":[0.5,0.5,0.5],"std":[0.25,0.0,0.25]}"#,
        ] {
            let error = message(load(wrong));
            assert!(error.contains("metadata 'normalisation'"), "{error}");
        }
    }

    #[test]
    fn later_versions_are_refused() {
        let check =
            |version| check_version(Path::new("x"), &metadata(&[("format_version", version)]));
        assert!(check("1").is_ok() && check("0").is_ok());
        assert!(message(check("2")).contains("format version 2"));
        assert!(message(check("two")).contains("format_version"));
    }

    #[test]
    fn a_file_cannot_ask_for_more_memory_than_it_has() {
        let tensors = vec![
            ("conv1.weight".to_owned(), Tensor::f32(&[1 << 16, 1, 1, 1], vec![0.0; 1 << 16])),
            ("linear.weight".to_owned(), Tensor::f32(&[10, 1], vec![0.0; 10])),
        ];
        let arch = "resnet18-cifar".parse().unwrap();
        let error = message(graph_of(Path::new("x"), arch, &tensors));
        assert!(
            error.contains("x is no resnet18-cifar: it holds 65546 values, of at least"),
            "{error}"
        );
        let error = message(graph_of(Path::new("x"), arch, &tensors[1..].to_vec()));
        assert!(error.contains("no tensor 'conv1.weight'"), "{error}");
    }

    #[test]
    fn weights_are_counted() {
        // 272,474 parameters in all, of which 1,376 are of batch norm and 10 the bias.
        let arch: Arch = "resnet20".parse().unwrap();
        assert_eq!(weights(&arch.graph(10)), 269_722 - 1_376 - 10);
    }

    #[test]
    fn a_run_stands_for_best_only_where_it_was_chosen_on_held_out_images() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        assert!(message(file_of_run(run)).contains("without last.safetensors"));
        let mut config = crate::config::tests::sample();
        for (split, expected) in [(2, BEST), (0, LAST)] {
            config.data.split = split;
            config.write(&run.join(CONFIG)).unwrap();
            std::fs::write(run.join(LAST), b"").unwrap();
            std::fs::write(run.join(BEST), b"").unwrap();
            assert_eq!(file_of_run(run).unwrap(), run.join(expected));
        }
    }
}
