//! Resolves the architecture of a file.

use std::path::Path;

use resnet_formats::{NamedTensors, Tensor, brief, safetensors::Metadata};

use super::{ModelFileError, key};
use crate::{
    graph::Graph,
    models::{Arch, Block, Family, Stem, StrideAt, infer_arch},
    network::{StateDictError, check_state_dict},
};

/// Where the architecture is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file names it.
    File,
    /// The user named it.
    Asked,
    /// Inferred from the tensors, which may fit an alternative as well.
    Inferred { alternative: Option<Arch> },
}

/// The architecture that the file names or the user asked for, which must be equal if both are
/// given; else the one inferred from the tensors.
pub(super) fn resolve_arch(
    path: &Path,
    metadata: &Metadata,
    tensors: &NamedTensors,
    asked: Option<Arch>,
) -> Result<(Arch, Origin), ModelFileError> {
    match (named_arch(path, metadata)?, asked) {
        (Some(found), Some(expected)) if found != expected => Err(ModelFileError::OtherArch {
            path: path.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        }),
        (Some(arch), _) => Ok((arch, Origin::File)),
        (None, Some(arch)) => Ok((arch, Origin::Asked)),
        (None, None) => match infer_arch(tensors) {
            Ok(found) => Ok((found.arch, Origin::Inferred { alternative: found.alternative })),
            Err(message) => {
                let message = format!("{message}; {}", inventory(tensors));
                Err(ModelFileError::ArchNotInferred { path: path.to_owned(), message })
            }
        },
    }
}

/// The first names of a file's tensors, and their number.
fn inventory(tensors: &NamedTensors) -> String {
    let names = tensors.iter().take(3).map(|(name, _)| format!("'{}'", brief(name)));
    let names = names.collect::<Vec<_>>().join(", ");
    match tensors.len() {
        0 => "it has no tensors".into(),
        count @ 1..=3 => format!("it has {count} tensors: {names}"),
        count => format!("it has {count} tensors: {names}, ..."),
    }
}

/// A network that differs in shortcuts without parameters, for people.
pub(super) fn by_shortcuts(other: Arch) -> String {
    format!("{other} ({})", if other.residual { "shortcuts of option A" } else { "no shortcuts" })
}

/// The other networks that have the tensors of one, for people.
pub(super) fn others_of(arch: Arch, alternative: Option<Arch>) -> Option<String> {
    let mut others = Vec::new();
    others.extend(alternative.map(by_shortcuts));
    if matches!(arch.family, Family::ImageNet | Family::Cifar) {
        let mut other = arch.usual();
        other.max_pool = !other.max_pool;
        others.push(format!("{other} ({} max pool)", if other.max_pool { "with a" } else { "no" }));
    }
    if arch.block() == Block::Bottleneck {
        let mut other = arch.usual();
        other.stride_at = StrideAt::Conv1x1;
        others.push(format!("{other} (strides in 1x1 convolutions)"));
    }
    (!others.is_empty()).then(|| others.join(" or "))
}

/// The architecture that the file names.
pub(crate) fn named_arch(path: &Path, metadata: &Metadata) -> Result<Option<Arch>, ModelFileError> {
    let parse = |name: &String| {
        name.parse().map_err(|error| ModelFileError::metadata(path, key::ARCH, error))
    };
    metadata.get(key::ARCH).map(parse).transpose()
}

/// The error for tensors that do not fit the architecture. If the file names it, the file is
/// damaged.
fn mismatch(
    path: &Path,
    arch: Arch,
    origin: Origin,
    tensors: &NamedTensors,
    source: StateDictError,
) -> ModelFileError {
    match origin {
        Origin::File => ModelFileError::state_dict(path)(source),
        _ => not_this(path, arch, tensors, source.to_string()),
    }
}

fn not_this(path: &Path, arch: Arch, tensors: &NamedTensors, message: String) -> ModelFileError {
    let other = infer_arch(tensors).ok().filter(|found| found.arch != arch);
    let other = other.filter(|found| found.alternative != Some(arch));
    let hint = other.map(|found| format!("; names and shapes are those of a {}", found.arch));
    ModelFileError::NotThisArch {
        path: path.to_owned(),
        arch: arch.to_string(),
        message: message + &hint.unwrap_or_default(),
    }
}

/// The architecture's graph, with the channels, width and classes of the first and last weight. It
/// is checked against the tensors before anything of its size is allocated.
pub(super) fn graph_of(
    path: &Path,
    arch: Arch,
    origin: Origin,
    tensors: &NamedTensors,
) -> Result<Graph, ModelFileError> {
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
    let (first, last) = match arch.stem {
        Stem::Single => ("conv1.weight", "conv1.weight"),
        Stem::Deep => ("conv1.0.weight", "conv1.6.weight"),
    };
    let (&[_, in_channels, ..], &[width, ..], &[classes, _]) =
        (shape(first)?, shape(last)?, shape(head)?)
    else {
        return Err(wrong(format!("'{first}', '{last}' or '{head}' has too few dimensions")));
    };
    let graph = arch.graph_with(in_channels, classes, width);
    check_state_dict(&graph, tensors)
        .map_err(|source| mismatch(path, arch, origin, tensors, source))?;
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, ModelFileError>) -> String {
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
            "x.safetensors is a resnet20, not a resnet56: give --arch resnet20, or another file"
        );
        assert!(message(resolve(&silent, None)).contains("--arch"));
        let unknown = metadata(&[("arch", "vgg16")]);
        assert!(message(resolve(&unknown, None)).contains("'vgg16'"));
    }

    #[test]
    fn a_file_cannot_make_a_larger_network_than_its_tensors() {
        let tensors = vec![
            ("conv1.weight".to_owned(), Tensor::f32(&[1 << 16, 1, 1, 1], vec![0.0; 1 << 16])),
            ("linear.weight".to_owned(), Tensor::f32(&[10, 1], vec![0.0; 10])),
        ];
        let arch = "resnet18-cifar".parse().unwrap();
        let graph = |tensors| graph_of(Path::new("x"), arch, Origin::Asked, &tensors);
        let error = message(graph(tensors.clone()));
        for part in [
            "x is not a resnet18-cifar: ",
            "missing: bn1.weight, bn1.bias, bn1.running_mean and ",
            "conv1.weight (is float32 [65536, 1, 1, 1], must be float32 [65536, 1, 3, 3]), ",
        ] {
            assert!(error.contains(part), "{error}");
        }
        let error = message(graph(tensors[1..].to_vec()));
        assert!(error.contains("no tensor 'conv1.weight'"), "{error}");
    }
}
