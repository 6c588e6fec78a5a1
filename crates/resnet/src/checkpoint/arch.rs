//! Which network a file holds.

use std::path::Path;

use resnet_formats::{NamedTensors, Tensor, safetensors::Metadata};

use super::{CheckpointError, key};
use crate::{
    graph::{Graph, Op},
    models::{Arch, recognise},
    network::StateDictError,
};

/// Who says what the architecture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file.
    File,
    /// The user.
    Asked,
    /// The tensors; maybe they would fit another one as well.
    Recognised { twin: Option<Arch> },
}

/// The architecture that the file names, or that was asked for, or both agree on; or else the one
/// that the tensors are of.
pub(super) fn resolve_arch(
    path: &Path,
    metadata: &Metadata,
    tensors: &NamedTensors,
    asked: Option<Arch>,
) -> Result<(Arch, Origin), CheckpointError> {
    match (named_arch(path, metadata)?, asked) {
        (Some(found), Some(expected)) if found != expected => Err(CheckpointError::OtherArch {
            path: path.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        }),
        (Some(arch), _) => Ok((arch, Origin::File)),
        (None, Some(arch)) => Ok((arch, Origin::Asked)),
        (None, None) => match recognise(tensors) {
            Ok(found) => Ok((found.arch, Origin::Recognised { twin: found.twin })),
            Err(message) => Err(CheckpointError::NotRecognised { path: path.to_owned(), message }),
        },
    }
}

/// The architecture that the file names.
pub(super) fn named_arch(
    path: &Path,
    metadata: &Metadata,
) -> Result<Option<Arch>, CheckpointError> {
    let parse = |name: &String| {
        name.parse().map_err(|error| CheckpointError::metadata(path, key::ARCH, error))
    };
    metadata.get(key::ARCH).map(parse).transpose()
}

/// Why tensors do not fit the architecture: the file is damaged if it names that itself.
pub(super) fn mismatch(
    path: &Path,
    arch: Arch,
    origin: Origin,
    tensors: &NamedTensors,
    source: StateDictError,
) -> CheckpointError {
    match origin {
        Origin::File => CheckpointError::state_dict(path)(source),
        _ => not_this(path, arch, tensors, source.to_string()),
    }
}

fn not_this(path: &Path, arch: Arch, tensors: &NamedTensors, message: String) -> CheckpointError {
    let other = recognise(tensors).ok().filter(|found| found.arch != arch);
    let other = other.filter(|found| found.twin != Some(arch));
    let hint = other.map(|found| format!("; by names and shapes it is a {}", found.arch));
    CheckpointError::NotThisArch {
        path: path.to_owned(),
        arch: arch.to_string(),
        message: message + &hint.unwrap_or_default(),
    }
}

/// The architecture's graph, with the channels, width and classes that its first and last weight
/// show. Nothing is allocated by what a file claims: its tensors are in memory already, and the
/// graph must not have more parameters than they.
pub(super) fn graph_of(
    path: &Path,
    arch: Arch,
    tensors: &NamedTensors,
) -> Result<Graph, CheckpointError> {
    let wrong = |message: String| not_this(path, arch, tensors, message);
    let shape = |name: &str| {
        let tensor: Option<&(String, Tensor)> = tensors.iter().find(|(n, _)| n == name);
        let (_, tensor) = tensor.ok_or_else(|| wrong(format!("it has no tensor '{name}'")))?;
        if tensor.data.is_empty() {
            return Err(wrong(format!("its tensor '{name}' is empty")));
        }
        Ok(tensor.shape.as_slice())
    };
    let head = &format!("{}.weight", arch.family.head());
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

    fn message<T: std::fmt::Debug>(result: Result<T, CheckpointError>) -> String {
        result.unwrap_err().to_string()
    }

    fn metadata(entries: &[(&str, &str)]) -> Metadata {
        entries.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn the_file_and_the_user_must_agree_on_the_architecture() {
        let path = Path::new("x.safetensors");
        let (named, silent) = (metadata(&[("arch", "resnet20")]), Metadata::new());
        let arch = |name: &str| name.parse::<Arch>().ok();
        let resolve = |metadata, asked| resolve_arch(path, metadata, &vec![], asked);
        let resolved = |metadata, asked| resolve(metadata, asked).ok();
        let is = |name, origin| arch(name).map(|arch| (arch, origin));
        assert_eq!(resolved(&named, None), is("resnet20", Origin::File));
        assert_eq!(resolved(&named, arch("resnet20")), is("resnet20", Origin::File));
        assert_eq!(resolved(&silent, arch("resnet8")), is("resnet8", Origin::Asked));
        assert_eq!(
            message(resolve(&named, arch("resnet56"))),
            "x.safetensors holds resnet20, not resnet56: ask for that with --arch resnet20, or \
             name another file"
        );
        assert!(message(resolve(&silent, None)).contains("--arch"));
        let unknown = metadata(&[("arch", "vgg16")]);
        assert!(message(resolve(&unknown, None)).contains("'vgg16'"));
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
}
