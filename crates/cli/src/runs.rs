//! Where runs are, and the word for the newest one.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use resnet::run::{RunError, RunFolder};

/// Default parent of run folders.
const RUNS: &str = "runs";

/// The newest run, wherever a run or a model is an argument.
pub(crate) const LAST: &str = "last";

/// Random weights, where those that a run starts from are an argument.
pub(crate) const NONE: &str = "none";

/// The default folder of a new run.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(RUNS).join(name)
}

/// Whether an argument is `last`. A file or folder of that name is itself.
pub(crate) fn is_last(path: &Path) -> bool {
    path == Path::new(LAST) && !path.exists()
}

/// The path of an argument, that of the newest run for `last`.
///
/// # Errors
/// If there is no run.
pub(crate) fn resolve(path: &Path) -> Result<Cow<'_, Path>, RunError> {
    if is_last(path) {
        return RunFolder::newest(Path::new(RUNS)).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(path))
}

/// The runs in the default folder and in its experiments, by name; none if it cannot be read.
pub(crate) fn all() -> Vec<PathBuf> {
    RunFolder::all(Path::new(RUNS)).unwrap_or_default()
}
