//! Trained networks as the verbs want them.

use std::path::Path;

use resnet::{
    Arch,
    model_file::{DEMO, Model},
    run::{CONFIG, load_model},
};

use crate::args::Global;

/// Opens what `MODEL` on the command line stands for, and says what was concluded about it.
pub(crate) fn open(path: &Path, arch: Option<Arch>, global: &Global) -> anyhow::Result<Model> {
    let model = load_model(path, arch)?;
    model.notes.iter().for_each(|note| global.note(note));
    Ok(model)
}

/// The folder of the run that a model is a checkpoint of.
pub(crate) fn run_of(model: &Model) -> Option<&Path> {
    let folder = model.path.parent().filter(|_| model.path != Path::new(DEMO))?;
    folder.join(CONFIG).is_file().then_some(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_checkpoint_is_of_the_run_it_lies_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::demo();
        model.path = dir.path().join("last.safetensors");
        assert_eq!(run_of(&model), None);
        fs::write(dir.path().join(CONFIG), "").unwrap();
        assert_eq!(run_of(&model), Some(dir.path()));
        // The demo is of no run, wherever one stands.
        model.path = DEMO.into();
        assert_eq!(run_of(&model), None);
    }
}
