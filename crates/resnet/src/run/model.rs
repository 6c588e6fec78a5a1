//! The model of a run.

use std::path::{Path, PathBuf};

use super::{BEST, CONFIG, LAST, RunError};
use crate::{
    config::TrainConfig,
    model_file::{LoadOptions, Model, ModelFileError, is_plain_folder},
};

/// Loads a model as [`Model::load_with`] does, or that of a run folder: its `best` checkpoint if the run
/// has a validation set, else `last`.
///
/// ```no_run
/// let model = resnet::run::load_model("runs/mine".as_ref(), &Default::default())?;
/// println!("{}, {} classes", model.arch, model.class_names().len());
/// # Ok::<(), resnet::run::RunError>(())
/// ```
///
/// # Errors
/// As [`Model::load_with`], and if the run has no checkpoint or its configuration is damaged.
pub fn load_model(path: &Path, options: &LoadOptions) -> Result<Model, RunError> {
    Ok(Model::load_with(&model_path(path)?, options)?)
}

/// The file or folder that [`load_model`] reads: the checkpoint of a run, else `path` itself.
///
/// # Errors
/// If the run has no checkpoint or its configuration is damaged.
pub fn model_path(path: &Path) -> Result<PathBuf, RunError> {
    if is_plain_folder(path) { checkpoint_of(path) } else { Ok(path.to_owned()) }
}

/// The checkpoint to use of a run.
fn checkpoint_of(folder: &Path) -> Result<PathBuf, RunError> {
    let (best, last) = (folder.join(BEST), folder.join(LAST));
    if best.is_file() && TrainConfig::read(&folder.join(CONFIG))?.data.validation > 0 {
        Ok(best)
    } else if last.is_file() {
        Ok(last)
    } else {
        Err(ModelFileError::NoCheckpoint(folder.to_owned()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_is_used_only_if_it_was_chosen_on_a_validation_set() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        let error = checkpoint_of(run).unwrap_err().to_string();
        assert!(error.contains("without last.safetensors"), "{error}");
        let mut config = crate::config::tests::sample();
        for (validation, expected) in [(2, BEST), (0, LAST)] {
            config.data.validation = validation;
            config.write(&run.join(CONFIG)).unwrap();
            std::fs::write(run.join(LAST), b"").unwrap();
            std::fs::write(run.join(BEST), b"").unwrap();
            assert_eq!(checkpoint_of(run).unwrap(), run.join(expected));
        }
    }
}
