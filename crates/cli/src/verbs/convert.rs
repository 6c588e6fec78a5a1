//! `resnet convert`: converts a model to another file format.

use std::path::Path;

use anyhow::{Context, bail};
use resnet::{
    data::photo::CropMode,
    model_file::SaveFormat,
    run::{LAST, load_model},
};
use resnet_formats::{Destination, Shown};

use crate::{
    args::{ConvertArgs, Global},
    config,
    error::Usage,
    model, runs,
};

pub(crate) fn run(args: &ConvertArgs, global: &Global) -> anyhow::Result<()> {
    let (output, target) = (&args.output, target(args)?);
    let input = runs::resolve(&args.input)?;
    let mut model = load_model(&input, &args.weights.options(args.arch))?;
    let canonical = |path: &Path| path.canonicalize().ok();
    if canonical(output).is_some_and(|output| canonical(&model.path) == Some(output)) {
        bail!("OUT is the input file {}: choose another OUT", output.shown());
    }
    model.notes.iter().for_each(|note| global.note(note));
    let given = config::given_normalisation_of(args.normalisation, &model.network)?;
    model.normalisation = given.or(model.normalisation);
    model
        .save(Destination::Follow(output), target)
        .with_context(|| format!("cannot write {}", output.shown()))?;
    global.status(format!(
        "{}: {}, {} classes, from {} ({})",
        output.shown(),
        model.arch,
        model.network.graph().classes(),
        model.path.shown(),
        model.format
    ));
    match (&model.optimizer, target) {
        (Err(why), SaveFormat::Checkpoint) => {
            global.note(format!("{} has no optimizer state: {why}", output.shown()));
        }
        (Ok(_), SaveFormat::Checkpoint) | (Err(_), _) => {}
        (Ok(_), _) => global.note("the optimizer state is left out: convert to .tar to keep it"),
    }
    let has_metadata = model.classes.is_some() || model.normalisation.is_some();
    if target == SaveFormat::StateDict && has_metadata {
        global.note(
            "a state dict cannot store class names and normalisation: convert to .safetensors, \
             .tar or .onnx to keep them",
        );
    }
    if target == SaveFormat::StateDict && model.arch != model.arch.usual() {
        global.note(format!(
            "a state dict cannot state {0}: give --arch {0} where you use it",
            model.arch
        ));
    }
    if target == SaveFormat::Timm && model.crop_mode == CropMode::CenterFloor {
        global.note(
            "timm rounds half of an odd margin to even, and transformers rounds it down: the crop of \
             some photos moves by a pixel",
        );
    }
    if target != SaveFormat::StateDict && model.normalisation.is_none() {
        global.note(format!(
            "{} states no normalisation, since {} has none: give it with --mean and --std",
            output.shown(),
            model.path.shown()
        ));
    }
    Ok(())
}

/// The output format.
fn target(args: &ConvertArgs) -> Result<SaveFormat, Usage> {
    let path = &args.output;
    if model::run_of(&path.join(LAST)).is_some() {
        return Err(Usage(format!(
            "{} is a run folder, whose checkpoints another model in it would hide: choose another \
             OUT",
            path.shown()
        )));
    }
    let is_named = args.timm || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let has = |name: &str| path.join(name).exists();
    if !is_named && has("config.json") && !has("model.safetensors") {
        return Err(Usage(format!(
            "{} has a config.json that is not of a model: to replace it, end OUT in / or add \
             --timm",
            path.shown()
        )));
    }
    let is_folder = is_named || path.is_dir();
    let target = if is_folder { Some(SaveFormat::Timm) } else { SaveFormat::from_suffix(path) };
    match target {
        Some(SaveFormat::Onnx { .. }) => Ok(SaveFormat::Onnx { fold: args.fold }),
        Some(_) if args.fold => {
            Err(Usage("--fold is for .onnx only: other formats keep batch norms as layers".into()))
        }
        Some(target) => Ok(target),
        None => Err(Usage(format!(
            "the suffix of {} is not .safetensors, .pt, .pth, .th, .tar or .onnx; for a timm \
             folder, end OUT in / or add --timm",
            path.shown()
        ))),
    }
}
