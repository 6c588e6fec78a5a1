//! Opens trained networks for the verbs.

use std::path::Path;

use resnet::{
    model_file::{DEMO, LoadOptions, Model},
    run::{CONFIG, load_model},
};

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

/// The run folder that the checkpoint at a path belongs to.
pub(crate) fn run_of(model: &Path) -> Option<&Path> {
    let folder = model.parent().filter(|_| model != Path::new(DEMO))?;
    folder.join(CONFIG).is_file().then_some(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_checkpoint_belongs_to_the_run_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("last.safetensors");
        assert_eq!(run_of(&model), None);
        fs::write(dir.path().join(CONFIG), "").unwrap();
        assert_eq!(run_of(&model), Some(dir.path()));
        // The demo belongs to no run, whatever the working folder.
        assert_eq!(run_of(Path::new(DEMO)), None);
    }
}
