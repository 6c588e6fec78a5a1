//! Trained networks as the verbs want them.

use std::path::Path;

use resnet::{Arch, checkpoint::Model};

use crate::args::Global;

/// Opens what `MODEL` on the command line stands for, and says what was concluded about it.
pub(crate) fn open(path: &Path, arch: Option<Arch>, global: &Global) -> anyhow::Result<Model> {
    let model = Model::load(path, arch)?;
    model.notes.iter().for_each(|note| global.note(note));
    Ok(model)
}
