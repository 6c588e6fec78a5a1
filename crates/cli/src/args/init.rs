//! What the weights of a new run start from.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use resnet::model_file::PublishedWeights;

use crate::runs;

/// The value of `--init`.
#[derive(Clone, Debug)]
pub(crate) enum InitArg {
    /// Random weights.
    Nothing,
    /// Published weights, and whether there is a file of the same name.
    Published(&'static PublishedWeights, bool),
    /// A file, a run folder or `last`.
    Path(PathBuf),
}

impl InitArg {
    /// A parser of the option.
    pub(crate) fn parser() -> impl TypedValueParser<Value = InitArg> {
        PathBufValueParser::new().map(InitArg::new)
    }

    fn new(path: PathBuf) -> InitArg {
        match path.to_str().and_then(PublishedWeights::named) {
            // A name with a dot may be that of a file.
            Some(weights) if path.extension().is_none() || !path.exists() => {
                InitArg::Published(weights, path.exists())
            }
            None if path == Path::new(runs::NONE) => InitArg::Nothing,
            _ => InitArg::Path(path),
        }
    }

    /// Whether there are weights to start from.
    pub(crate) fn is_something(&self) -> bool {
        !matches!(self, InitArg::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        let of = |text: &str| match InitArg::new(text.into()) {
            InitArg::Nothing => "nothing".to_owned(),
            InitArg::Published(weights, _) => weights.name.to_owned(),
            InitArg::Path(path) => format!("path {}", path.display()),
        };
        for (text, expected) in [
            ("none", "nothing"),
            ("./none", "path ./none"),
            ("resnet18", "resnet18.tv_in1k"),
            ("resnet18.a1_in1k", "resnet18.a1_in1k"),
            ("./resnet18", "path ./resnet18"),
            ("resnet18.pth", "path resnet18.pth"),
            ("resnet20", "path resnet20"),
            ("last", "path last"),
        ] {
            assert_eq!(of(text), expected);
        }
    }
}
