//! `resnet convert`: a network from one form to another.

use std::path::Path;

use anyhow::{Context, bail};
use resnet::{model_file::SaveFormat, run::load_model};
use resnet_formats::{Destination, Shown};

use crate::{
    args::{ConvertArgs, Global},
    config,
    error::Usage,
};

pub(crate) fn run(args: &ConvertArgs, global: &Global) -> anyhow::Result<()> {
    let (output, target) = (&args.output, target(args)?);
    let mut model = load_model(&args.input, args.arch)?;
    let canonical = |path: &Path| path.canonicalize().ok();
    if canonical(output).is_some_and(|output| canonical(&model.path) == Some(output)) {
        bail!("{} is the file that is read: choose another OUT", output.shown());
    }
    model.notes.iter().for_each(|note| global.note(note));
    if let Some(normalisation) = config::asked(args.normalisation) {
        model.normalisation = Some(normalisation);
    }
    model
        .save(Destination::Follow(output), target)
        .with_context(|| format!("cannot write {}", output.shown()))?;
    global.say(format!(
        "{}: {}, {} classes, from {} ({})",
        output.shown(),
        model.arch,
        model.network.graph().classes(),
        model.path.shown(),
        model.format
    ));
    match (&model.optimizer, target) {
        (Err(why), SaveFormat::Checkpoint) => {
            global.note(format!("there is no optimizer in {}: {why}", output.shown()));
        }
        (Ok(_), SaveFormat::Checkpoint) | (Err(_), _) => {}
        (Ok(_), _) => global.note("the optimizer is left out: a .tar keeps it"),
    }
    let says_more = model.classes.is_some() || model.normalisation.is_some();
    if target == SaveFormat::StateDict && says_more {
        global.note(
            "a state dict has no place for class names and preprocessing: .safetensors, .tar and \
             .onnx have",
        );
    }
    Ok(())
}

/// The form that was asked for.
fn target(args: &ConvertArgs) -> Result<SaveFormat, Usage> {
    let path = &args.output;
    let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir();
    let target =
        if args.timm || is_folder { Some(SaveFormat::Timm) } else { SaveFormat::from_suffix(path) };
    match target {
        Some(SaveFormat::Onnx { .. }) => Ok(SaveFormat::Onnx { fold: args.fold }),
        Some(_) if args.fold => {
            Err(Usage("--fold is for .onnx: the other forms hold batch norms as they are".into()))
        }
        Some(target) => Ok(target),
        None => Err(Usage(format!(
            "{} has none of the suffixes .safetensors, .pt, .pth, .th, .tar and .onnx; a folder for \
             timm ends in /",
            path.shown()
        ))),
    }
}
