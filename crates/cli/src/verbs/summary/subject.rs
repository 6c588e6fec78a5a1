//! The network to summarise.

use std::path::Path;

use resnet::{Arch, Graph, model_file::DEMO};

use crate::{
    args::{Global, SummaryArgs},
    error::Usage,
    model, print, runs,
};

/// The network to summarise.
pub(super) struct Subject {
    pub(super) arch: Arch,
    pub(super) graph: Graph,
    pub(super) image_size: usize,
    /// Description of the file, if there is one.
    pub(super) file: Option<String>,
}

impl Subject {
    /// An architecture by name, or the network of a checkpoint.
    pub(super) fn new(args: &SummaryArgs, global: &Global) -> anyhow::Result<Subject> {
        let path = Path::new(&args.what);
        match args.what.parse::<Arch>() {
            Ok(_) if args.arch.is_some() => {
                let why = "--arch is for model files: the argument is an architecture already";
                Err(Usage(why.into()).into())
            }
            Ok(_) if args.weights.weights.is_some() => {
                let why = "--weights is for model files: the argument is an architecture";
                Err(Usage(why.into()).into())
            }
            Ok(arch) => Ok(Subject {
                arch,
                graph: arch.graph(args.classes.unwrap_or(arch.default_classes())),
                image_size: args.image_size.unwrap_or(arch.image_size()),
                file: None,
            }),
            Err(_) if path.exists() || path == Path::new(DEMO) || runs::is_last(path) => {
                if args.classes.is_some() {
                    let why = "--classes is for architectures: a model file has its own classes";
                    return Err(Usage(why.into()).into());
                }
                let model = model::open(path, &args.weights.options(args.arch), global)?;
                let epochs = |epochs| format!(", {}", print::counted(epochs, "epoch"));
                let epochs = model.epochs.map(epochs);
                let optimizer = if model.optimizer.is_ok() { ", with optimizer state" } else { "" };
                Ok(Subject {
                    arch: model.arch,
                    graph: model.network.graph().clone(),
                    image_size: args.image_size.unwrap_or(model.image_size),
                    file: Some(format!(
                        "{}{}{optimizer}",
                        model.format,
                        epochs.unwrap_or_default()
                    )),
                })
            }
            Err(unknown) => {
                Err(Usage(format!("{unknown}; and there is no file of this name")).into())
            }
        }
    }
}
