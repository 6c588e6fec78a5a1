//! Opens trained networks for the verbs.

use std::path::Path;

use resnet::{
    config::TrainConfig,
    model_file::{DEMO, LoadOptions, Model},
    models::Family,
    run::{BEST, CONFIG, LAST, load_model},
};
use resnet_formats::Shown;

use crate::{
    args::{Global, ModelArgs, NetworkArgs},
    class_names, runs,
};

/// Opens the `MODEL` argument, which may be `last`, and prints the notes about what was inferred.
pub(crate) fn open(path: &Path, options: &LoadOptions, global: &Global) -> anyhow::Result<Model> {
    let model = load_model(&runs::resolve(path)?, options)?;
    model.notes.iter().for_each(|note| global.note(note));
    Ok(model)
}

/// Opens the model of these arguments, with the class names that they give, and prints the notes about
/// what was inferred.
pub(crate) fn open_named(args: &ModelArgs, global: &Global) -> anyhow::Result<Model> {
    let model = read_named(&args.path, &args.network)?;
    model.notes.iter().for_each(|note| global.note(note));
    Ok(model)
}

/// Reads a model, which may be `last`, with the class names that the arguments give.
pub(crate) fn read_named(path: &Path, args: &NetworkArgs) -> anyhow::Result<Model> {
    let mut model = load_model(&runs::resolve(path)?, &args.options())?;
    if let Some(file) = &args.class_names {
        model.classes = Some(class_names::read(file, model.network.graph().classes())?);
    }
    Ok(model)
}

/// Notes how photos are prepared for a network whose file does not say.
pub(crate) fn note_preprocessing(model: &Model, note: &dyn Fn(&str)) {
    if model.normalisation.is_none()
        && model.resize.is_none()
        && model.arch.family == Family::ImageNet
    {
        note(&format!(
            "{path} does not state its preprocessing: photos are resized to {side}x{side} without a \
             crop (--resize 256 --crop 224 does as torchvision)",
            path = model.path.shown(),
            side = model.image_size
        ));
    }
}

/// The run folder that the checkpoint at a path belongs to. Other programs write files called `config.toml` too:
/// without a checkpoint of ours next to it, one must be the configuration of a run.
pub(crate) fn run_of(model: &Path) -> Option<&Path> {
    let folder = model.parent().filter(|_| model != Path::new(DEMO))?;
    let config = folder.join(CONFIG);
    let is_there = |checkpoint: &str| folder.join(checkpoint).is_file();
    let is_run = config.is_file()
        && ([LAST, BEST].into_iter().any(is_there) || TrainConfig::read(&config).is_ok());
    is_run.then_some(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_checkpoint_belongs_to_the_run_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let [last, net] = ["last.safetensors", "net.pt"].map(|name| dir.path().join(name));
        fs::write(&last, "").unwrap();
        assert_eq!(run_of(&last), None);
        // What needs a damaged configuration says so.
        fs::write(dir.path().join(CONFIG), "damaged").unwrap();
        assert_eq!(run_of(&last), Some(dir.path()));
        assert_eq!(run_of(&net), Some(dir.path()));
        // That of another program.
        fs::remove_file(&last).unwrap();
        assert_eq!(run_of(&net), None);
        // The demo belongs to no run, whatever the working folder.
        assert_eq!(run_of(Path::new(DEMO)), None);
    }
}
